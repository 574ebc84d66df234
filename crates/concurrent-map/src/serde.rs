//! The map and the set in serde's data model: the same as std's map and set.
//!
//! A serializer is foreign code, may be slow, and may want the length first. So it gets a snapshot,
//! and no lock is held.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::{map::ConcurrentMap, set::ConcurrentSet};

/// Room is made at the start for at most so many bytes of entries, whatever length an input claims.
const TRUSTED: usize = 1 << 20;

impl<K, V, S> Serialize for ConcurrentMap<K, V, S>
where
    K: Serialize + Clone,
    V: Serialize + Clone,
{
    /// Writes a [`snapshot`](ConcurrentMap::snapshot) as a map, its length first. With feature
    /// `serde`.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_map(self.snapshot())
    }
}

impl<'de, K, V, S> Deserialize<'de> for ConcurrentMap<K, V, S>
where
    K: Deserialize<'de> + Hash + Eq,
    V: Deserialize<'de>,
    S: BuildHasher + Default,
{
    /// Reads a map; of equal keys the last one's value stays. Room is made at the start for the
    /// entries that the input claims to have, but for one mebibyte of them at most. With feature
    /// `serde`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

struct MapVisitor<K, V, S>(PhantomData<ConcurrentMap<K, V, S>>);

impl<'de, K, V, S> Visitor<'de> for MapVisitor<K, V, S>
where
    K: Deserialize<'de> + Hash + Eq,
    V: Deserialize<'de>,
    S: BuildHasher + Default,
{
    type Value = ConcurrentMap<K, V, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let capacity = trusted::<(K, V)>(entries.size_hint());
        let map = ConcurrentMap::with_capacity_and_hasher(capacity, S::default());
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl<T: Serialize + Clone, S> Serialize for ConcurrentSet<T, S> {
    /// Writes a [`snapshot`](ConcurrentSet::snapshot) as a sequence, its length first. With feature
    /// `serde`.
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_seq(self.snapshot())
    }
}

impl<'de, T, S> Deserialize<'de> for ConcurrentSet<T, S>
where
    T: Deserialize<'de> + Hash + Eq,
    S: BuildHasher + Default,
{
    /// Reads a sequence. Room is made at the start for the elements that the input claims to have,
    /// but for one mebibyte of them at most. With feature `serde`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SetVisitor(PhantomData))
    }
}

struct SetVisitor<T, S>(PhantomData<ConcurrentSet<T, S>>);

impl<'de, T, S> Visitor<'de> for SetVisitor<T, S>
where
    T: Deserialize<'de> + Hash + Eq,
    S: BuildHasher + Default,
{
    type Value = ConcurrentSet<T, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let capacity = trusted::<T>(elements.size_hint());
        let set = ConcurrentSet::with_capacity_and_hasher(capacity, S::default());
        while let Some(element) = elements.next_element()? {
            set.insert(element);
        }
        Ok(set)
    }
}

/// Returns for how many entries room is made at the start. The input comes from anywhere, and may
/// claim any length.
fn trusted<E>(claimed: Option<usize>) -> usize {
    claimed.unwrap_or(0).min(TRUSTED / size_of::<E>().max(1))
}
