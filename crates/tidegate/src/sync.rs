//! What the patterns wait with, for patterns of your own: events, grants in order, queues, locks,
//! read-write shards.

pub use tidegate_core::{
    event, future_slots, lock, rw_shards, shard, tally, turnstile, wait, wait_list, wake_list,
};
#[cfg(target_has_atomic = "ptr")]
pub use tidegate_core::{queue, ring};
