//! The buttons of the page, and the settings that can be changed in use.

use std::{
    collections::hash_map::RandomState, env, hash::BuildHasher, net::SocketAddr, sync::Arc,
    time::Instant,
};

use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{settings::Settings, upstream::Mode, web::Web};

/// What a button asks for. A field that is missing stays as it is; the answer has both fields.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// How many times its rate the load generator sends.
    pub load: Option<u32>,
    /// How the upstream behaves.
    pub mode: Option<Mode>,
}

/// The most that a button may ask for.
const MOST_LOAD: u32 = 16;

/// Does what a button asks for. It takes JSON only, so that no other site's page can press it.
pub async fn control(
    State(web): State<Arc<Web>>,
    Json(order): Json<Order>,
) -> Result<Json<Order>, (StatusCode, &'static str)> {
    if let Some(load) = order.load {
        if load > MOST_LOAD {
            return Err((StatusCode::BAD_REQUEST, "load is above 16"));
        }
        web.load.set_factor(load);
    }
    if let Some(mode) = order.mode {
        web.upstream.set_mode(mode);
    }
    tracing::info!(?order, "a button");
    Ok(Json(Order { load: Some(web.load.factor()), mode: Some(web.upstream.mode()) }))
}

/// Returns the settings.
pub async fn settings(State((web, _)): State<(Arc<Web>, Token)>) -> Json<Settings> {
    Json(web.current().settings.clone())
}

/// Changes the settings that the body names, but only for callers on this machine that have the
/// token.
pub async fn change(
    State((web, token)): State<(Arc<Web>, Token)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(changes): Json<Map<String, Value>>,
) -> Result<Json<Settings>, (StatusCode, String)> {
    if !peer.ip().is_loopback() || !token.is_shown(&headers) {
        return Err((StatusCode::UNAUTHORIZED, "the token is missing or wrong\n".into()));
    }
    tracing::info!(?changes, "a change of the settings");
    match web.change(changes) {
        Ok(settings) => Ok(Json(settings)),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("{error}\n"))),
    }
}

/// What a request to change the settings must show: `Authorization: Bearer …`.
#[derive(Debug, Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes the token from the environment, `WEB_TOKEN`, or makes one up.
    pub fn new() -> Self {
        Self(env::var("WEB_TOKEN").unwrap_or_else(|_| random()).into())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares every byte, so that the time does not tell how many are right.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let shown = shown.strip_prefix(b"Bearer ").unwrap_or_default();
        let differing = shown.iter().zip(self.0.as_bytes()).fold(0, |bits, (a, b)| bits | (a ^ b));
        shown.len() == self.0.len() && differing == 0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns 128 bits that std has got from the operating system, for its hash tables.
fn random() -> String {
    let word = || RandomState::new().hash_one(Instant::now());
    format!("{:016x}{:016x}", word(), word())
}
