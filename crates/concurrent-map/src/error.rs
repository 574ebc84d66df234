//! Why an operation on one key was refused.

use core::fmt;

/// The error of an insertion of a key that has a value already; gives the new key and value back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Occupied<K, V> {
    key: K,
    value: V,
}

impl<K, V> Occupied<K, V> {
    pub(crate) fn new(key: K, value: V) -> Self {
        Self { key, value }
    }

    /// Returns the key and the value that were not inserted.
    pub fn into_inner(self) -> (K, V) {
        (self.key, self.value)
    }
}

impl<K, V> fmt::Debug for Occupied<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Occupied(..)")
    }
}

impl<K, V> fmt::Display for Occupied<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("key already present")
    }
}

impl<K, V> core::error::Error for Occupied<K, V> {}

/// The error of a swap where the key has no value or not the expected one; gives the new value
/// back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwapError<V> {
    /// There is no value.
    Absent(V),
    /// There is another value.
    Different(V),
}

impl<V> SwapError<V> {
    /// Returns the value that was not set.
    pub fn into_inner(self) -> V {
        match self {
            Self::Absent(value) | Self::Different(value) => value,
        }
    }

    /// Returns whether there is no value.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent(_))
    }

    /// Returns whether there is another value.
    pub fn is_different(&self) -> bool {
        matches!(self, Self::Different(_))
    }
}

impl<V> fmt::Debug for SwapError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_absent() { "Absent(..)" } else { "Different(..)" })
    }
}

impl<V> fmt::Display for SwapError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_absent() { "key absent" } else { "value not the expected one" })
    }
}

impl<V> core::error::Error for SwapError<V> {}
