//! The hash function of maps that name no other.

use core::{
    fmt,
    hash::{BuildHasher, Hasher},
};

use foldhash::fast::{FoldHasher, SeedableRandomState};

/// Builds the default hashers: [foldhash](https://github.com/orlp/foldhash), fast and keyed.
///
/// With std the key is random: one part per process, one per builder, both from the source that
/// seeds [`std::collections::HashMap`](std::hash::RandomState). An attacker that cannot watch your
/// hashes cannot prepare keys that collide. Foldhash is no cryptographic function, though: against
/// an opponent that can measure single operations, give the map a `std::hash::RandomState`. Without
/// std there is no source of randomness and the key is fixed.
///
/// # Examples
///
/// ```
/// use core::hash::BuildHasher;
/// use tidegate_concurrent_map::DefaultHashBuilder;
///
/// let builder = DefaultHashBuilder::default();
/// assert_eq!(builder.hash_one("key"), builder.clone().hash_one("key"));
/// let other = DefaultHashBuilder::default();
/// assert_ne!(builder.hash_one("key"), other.hash_one("key"));
/// ```
#[derive(Clone)]
pub struct DefaultHashBuilder {
    state: SeedableRandomState,
}

impl Default for DefaultHashBuilder {
    #[inline]
    fn default() -> Self {
        Self { state: seed::state() }
    }
}

impl BuildHasher for DefaultHashBuilder {
    type Hasher = DefaultHasher;

    #[inline]
    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher { inner: self.state.build_hasher() }
    }
}

impl fmt::Debug for DefaultHashBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays secret.
        f.debug_struct("DefaultHashBuilder").finish_non_exhaustive()
    }
}

/// The hasher that a [`DefaultHashBuilder`] builds.
#[derive(Clone)]
pub struct DefaultHasher {
    inner: FoldHasher<'static>,
}

/// Forwards the methods that foldhash implements itself.
macro_rules! forward {
    ($($name:ident: $number:ty),*) => {
        $(#[inline]
        fn $name(&mut self, number: $number) {
            self.inner.$name(number);
        })*
    };
}

impl Hasher for DefaultHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    forward!(write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128, write_usize: usize);

    #[inline]
    fn finish(&self) -> u64 {
        self.inner.finish()
    }
}

impl fmt::Debug for DefaultHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultHasher").finish_non_exhaustive()
    }
}

#[cfg(feature = "std")]
mod seed {
    use foldhash::{SharedSeed, fast::SeedableRandomState};
    use tidegate_core::primitive::{ProcessCell, random_seed};

    /// Returns a state that is keyed per process (by the operating system's randomness) and per
    /// builder.
    pub(super) fn state() -> SeedableRandomState {
        static PROCESS: ProcessCell<SharedSeed> = ProcessCell::new();
        let process = PROCESS.get_or_init(|| SharedSeed::from_u64(random_seed()));
        SeedableRandomState::with_seed(random_seed(), process)
    }
}

#[cfg(not(feature = "std"))]
mod seed {
    use foldhash::fast::SeedableRandomState;

    pub(super) fn state() -> SeedableRandomState {
        SeedableRandomState::fixed()
    }
}
