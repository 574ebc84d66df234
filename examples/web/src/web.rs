//! What the handlers share: the objects, the present settings, and the service that they make.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use axum::{Router, middleware};
use serde_json::{Map, Value};
use tidegate::{Semaphore, WorkerPool, worker_pool::StartError};
use tidegate_metrics::Registry;
use tower::util::BoxCloneSyncService;

use crate::{
    access_log::{self, WayIn},
    api,
    client::UpstreamClient,
    guard,
    load::Load,
    parts::Parts,
    settings::{BadSetting, Settings},
    upstream::Upstream,
};

/// Whether the service is guarded: the drill shows it without, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarding {
    /// As in `guard.rs`.
    On,
    /// Not at all.
    Off,
}

/// What the handlers share.
#[derive(Debug)]
pub struct Web {
    /// The upstream that misbehaves.
    pub upstream: Upstream,
    /// The load generator.
    pub load: Load,
    /// Workers for what computes.
    pub pool: Arc<WorkerPool>,
    /// A permit for each page that is served events.
    pub pages: Arc<Semaphore>,
    /// The way into the access log.
    pub log: WayIn,
    /// What operators see.
    pub registry: Registry,
    guarding: Guarding,
    current: RwLock<Arc<Current>>,
    /// Held by the one that changes the settings.
    changing: Mutex<()>,
}

/// The present settings, and the service that they make.
#[derive(Debug)]
pub struct Current {
    /// The settings.
    pub settings: Settings,
    /// What the guard is made of.
    pub parts: Parts,
    /// The guarded service.
    pub routes: Router,
}

impl Web {
    /// Sets everything up. `load` goes on until this is dropped.
    ///
    /// # Errors
    ///
    /// A setting is out of range.
    pub fn new(
        settings: Settings,
        upstream: Upstream,
        load: Load,
        log: WayIn,
        guarding: Guarding,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let pool = Arc::new(settings.pool.builder().build().map_err(of_pool)?);
        let pages = settings.pages.builder().map_err(|error| error.within("pages"))?;
        let pages = Arc::new(pages.build());
        let parts = Parts::new(&settings.guard).map_err(|error| error.within("guard"))?;
        let registry = Registry::new();
        guard::watch(&parts, &registry)?;
        registry.watch("pages", &pages)?;
        registry.watch("digests", &pool)?;
        log.watch(&registry)?;
        let routes = routes(&parts, &upstream, &pool, &log, guarding);
        let current = RwLock::new(Arc::new(Current { settings, parts, routes }));
        let changing = Mutex::default();
        Ok(Self { upstream, load, pool, pages, log, registry, guarding, current, changing })
    }

    /// Returns the present settings and what they make.
    pub fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the settings that `changes` names: see [`Settings::merge`]. The objects stay the
    /// same, with all that they know. Requests in flight end behind the layers that they have
    /// passed.
    ///
    /// # Errors
    ///
    /// A setting is wrong: nothing changes.
    pub fn change(&self, changes: Map<String, Value>) -> Result<Settings, BadSetting> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let settings = before.settings.merge(changes)?;
        settings.pages.builder().map(drop).map_err(|error| error.within("pages"))?;
        Parts::check(&settings.guard).map_err(|error| error.within("guard"))?;
        // Nothing below is refused, except by the pool, which comes first for that reason.
        if let Some(threads) = settings.pool.threads {
            self.pool.resize(threads).map_err(of_pool)?;
        }
        self.pages.set_capacity(settings.pages.permits);
        let parts = before.parts.apply(&settings.guard, &before.settings.guard)?;
        let routes = routes(&parts, &self.upstream, &self.pool, &self.log, self.guarding);
        let new = Arc::new(Current { settings: settings.clone(), parts, routes });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(settings)
    }
}

/// Returns the service behind the guard.
fn routes(
    parts: &Parts,
    upstream: &Upstream,
    pool: &Arc<WorkerPool>,
    log: &WayIn,
    guarding: Guarding,
) -> Router {
    let routes = match guarding {
        Guarding::On => {
            let client = UpstreamClient::new(upstream.address(), Some(parts.timeout));
            let upstream = guard::before_upstream(parts, client);
            guard::before_service(parts, api::routes(upstream, pool.clone()))
        }
        Guarding::Off => {
            let client = UpstreamClient::new(upstream.address(), None);
            api::routes(BoxCloneSyncService::new(client), pool.clone())
        }
    };
    let noted = (log.clone(), parts.client);
    routes.layer(middleware::from_fn_with_state(noted, access_log::note))
}

fn of_pool(error: StartError) -> BadSetting {
    match error {
        StartError::Setting(error) => error.within("pool").into(),
        error => BadSetting::new(error),
    }
}
