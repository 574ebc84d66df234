//! What the handlers share: the present guard, and what lasts as long as the server.

use std::{
    error::Error,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{Router, middleware};
use tidegate::{Semaphore, WorkerPool, worker_pool::OnFull};
use tidegate_metrics::Registry;
use tower::util::BoxCloneSyncService;

use crate::{
    access_log::{self, WayIn},
    api,
    client::UpstreamClient,
    guard,
    load::Load,
    parts::Parts,
    settings::{GuardSettings, Settings},
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
    /// The settings at the start.
    pub settings: Settings,
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
    guarding: Guarding,
    current: RwLock<Arc<Current>>,
}

/// The present guard, and the service behind it.
#[derive(Debug)]
pub struct Current {
    /// Its settings.
    pub settings: GuardSettings,
    /// What it is made of.
    pub parts: Parts,
    /// What operators see.
    pub registry: Registry,
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
        let service = &settings.service;
        let pool = WorkerPool::builder()
            .threads(service.threads)
            .queue(service.queue)
            .on_full(OnFull::Reject)
            .build()?;
        let pool = Arc::new(pool);
        let pages = Arc::new(Semaphore::new(service.pages));
        let base = Base { upstream: &upstream, pool: &pool, pages: &pages, log: &log };
        let current = RwLock::new(Arc::new(base.current(settings.guard.clone(), guarding)?));
        Ok(Self { settings, upstream, load, pool, pages, log, guarding, current })
    }

    /// Returns the present guard.
    pub fn current(&self) -> Arc<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new guard into the place of the present one. Requests in flight end under the old
    /// one, and the new one's limits begin anew.
    ///
    /// # Errors
    ///
    /// A setting is out of range: the present guard stays.
    pub fn replace_guard(
        &self,
        settings: GuardSettings,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { upstream, pool, pages, log, .. } = self;
        let new = Arc::new(Base { upstream, pool, pages, log }.current(settings, self.guarding)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

/// What the service behind a guard is made of.
struct Base<'a> {
    upstream: &'a Upstream,
    pool: &'a Arc<WorkerPool>,
    pages: &'a Arc<Semaphore>,
    log: &'a WayIn,
}

impl Base<'_> {
    fn current(
        &self,
        settings: GuardSettings,
        guarding: Guarding,
    ) -> Result<Current, Box<dyn Error + Send + Sync>> {
        let parts = Parts::new(&settings)?;
        let registry = Registry::new();
        guard::watch(&parts, &registry)?;
        registry.watch("pages", self.pages)?;
        registry.watch("digests", self.pool)?;
        self.log.watch(&registry)?;
        let routes = match guarding {
            Guarding::On => {
                let client = UpstreamClient::new(self.upstream.address(), Some(parts.timeout));
                let upstream = guard::before_upstream(&parts, client);
                guard::before_service(&parts, api::routes(upstream, self.pool.clone()))
            }
            Guarding::Off => {
                let client = UpstreamClient::new(self.upstream.address(), None);
                api::routes(BoxCloneSyncService::new(client), self.pool.clone())
            }
        };
        let noted = (self.log.clone(), parts.client);
        let routes = routes.layer(middleware::from_fn_with_state(noted, access_log::note));
        Ok(Current { settings, parts, registry, routes })
    }
}
