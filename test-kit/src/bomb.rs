//! A value whose destructor always panics.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{self, AtomicUsize},
    },
};

use crate::panics::quiet_panic;

/// A number whose drop counts itself and panics. Two such panics at once would abort the process.
///
/// The number [`UNLUCKY`](Self::UNLUCKY) also panics when it is compared by its order, or cloned.
#[derive(Debug)]
pub struct Bomb(pub u32, pub Arc<AtomicUsize>);

impl Bomb {
    /// The number that can be neither ordered nor cloned.
    pub const UNLUCKY: u32 = 13;

    fn check(&self) {
        if self.0 == Self::UNLUCKY {
            quiet_panic("unlucky");
        }
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.1.fetch_add(1, atomic::Ordering::SeqCst);
        quiet_panic("a bomb");
    }
}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        self.check();
        Self(self.0, self.1.clone())
    }
}

impl PartialEq for Bomb {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Bomb {}

impl PartialOrd for Bomb {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bomb {
    fn cmp(&self, other: &Self) -> Ordering {
        self.check();
        self.0.cmp(&other.0)
    }
}

impl Hash for Bomb {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
