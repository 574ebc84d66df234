//! Events of the crate `tracing`.

use core::any::Any;

use alloc::{borrow::Cow, boxed::Box, string::String};

use tidegate_core::primitive::Arc;

use crate::state::JobSettings;

/// The target of the events, whatever file makes them.
const TARGET: &str = "tidegate_worker_pool";

/// Sets hooks that make events, and call those which were set before.
pub(crate) fn set_hooks(settings: &mut JobSettings, name: Cow<'static, str>) {
    let name: Arc<Cow<'static, str>> = Arc::new(name);
    let (pool, then) = (name.clone(), settings.on_panic.take());
    settings.on_panic = Some(Box::new(move |payload| {
        tracing::error!(target: TARGET, pool = &**pool, panic = message(payload), "a job panicked");
        if let Some(then) = &then {
            then(payload);
        }
    }));
    let (pool, then) = (name, settings.on_refuse.take());
    settings.on_refuse = Some(Box::new(move |why| {
        tracing::warn!(target: TARGET, pool = &**pool, reason = %why, "a job was refused");
        if let Some(then) = &then {
            then(why);
        }
    }));
}

/// Returns the text of a panic; "no message" if it has none.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(|text| &**text)).unwrap_or("no message")
}
