//! The map and the set through serde.
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test is an ordinary program on std"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{
    Deserialize, Serialize, Serializer,
    de::value::{Error, MapDeserializer, SeqDeserializer},
};
use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet};

fn ages() -> ConcurrentMap<String, u32> {
    ConcurrentMap::from([("ann".to_owned(), 41), ("bob".to_owned(), 17)])
}

#[test]
fn a_map_is_written_and_read_as_stds_is() {
    let text = serde_json::to_string(&ages()).unwrap();
    let std: HashMap<String, u32> = serde_json::from_str(&text).unwrap();
    assert_eq!(std, ages().into_iter().collect());
    let again: ConcurrentMap<String, u32> = serde_json::from_str(&text).unwrap();
    assert_eq!(again.into_iter().collect::<HashMap<_, _>>(), std);
    let error = serde_json::from_str::<ConcurrentMap<String, u32>>("[1]").unwrap_err();
    assert!(error.to_string().contains("expected a map"), "{error}");
    assert!(serde_json::from_str::<ConcurrentMap<String, u32>>("{\"a\": \"b\"}").is_err());
}

#[test]
fn a_set_is_written_and_read_as_stds_is() {
    let text = serde_json::to_string(&ConcurrentSet::from([3, 1, 2])).unwrap();
    let std: BTreeSet<u32> = serde_json::from_str(&text).unwrap();
    assert_eq!(std, BTreeSet::from([1, 2, 3]));
    let again: ConcurrentSet<u32> = serde_json::from_str("[1, 2, 3, 3]").unwrap();
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), std);
    let error = serde_json::from_str::<ConcurrentSet<u32>>("{\"a\": 1}").unwrap_err();
    assert!(error.to_string().contains("expected a sequence"), "{error}");
}

#[test]
fn a_format_that_wants_the_length_first_gets_it() {
    // Postcard refuses what does not say its length.
    let bytes = postcard::to_allocvec(&ages()).unwrap();
    let std: BTreeMap<String, u32> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(std, ages().into_iter().collect());
    let again: ConcurrentMap<String, u32> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(again.into_iter().collect::<BTreeMap<_, _>>(), std);
    let bytes = postcard::to_allocvec(&ConcurrentSet::from([300_u32, 7])).unwrap();
    let set: ConcurrentSet<u32> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(set.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([7, 300]));
}

#[test]
fn of_equal_keys_the_last_value_is_read() {
    let map: ConcurrentMap<String, u32> = serde_json::from_str("{\"a\": 1, \"a\": 2}").unwrap();
    assert_eq!(map.snapshot(), [("a".to_owned(), 2)]);
}

#[test]
fn a_serializer_runs_with_no_lock_held() {
    /// Removes itself from its map while it is written.
    #[derive(Clone)]
    struct Fleeting<'a>(&'a ConcurrentMap<u32, u32>, u32);
    impl Serialize for Fleeting<'_> {
        fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
            self.0.remove(&self.1);
            serializer.serialize_u32(self.1)
        }
    }
    let numbers: ConcurrentMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
    let fleeting: ConcurrentMap<u32, Fleeting<'_>> =
        (0..20).map(|n| (n, Fleeting(&numbers, n))).collect();
    assert!(serde_json::to_string(&fleeting).is_ok() && numbers.is_empty());

    /// Writes to the map that is being written.
    #[derive(Clone)]
    struct Growing;
    thread_local! {
        static MAP: ConcurrentMap<u32, Growing> = ConcurrentMap::with_shards(1);
    }
    impl Serialize for Growing {
        fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
            MAP.with(|map| map.insert(u32::try_from(map.len()).unwrap(), Growing));
            serializer.serialize_unit()
        }
    }
    MAP.with(|map| {
        map.insert(0, Growing);
        map.insert(1, Growing);
        assert_eq!(serde_json::to_string(map).unwrap().matches("null").count(), 2);
        assert_eq!(map.len(), 4);
    });
}

/// Claims to have more elements than there can be, and has two.
struct Liar(u32);

impl Iterator for Liar {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 = self.0.checked_sub(1)?;
        Some(self.0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, Some(usize::MAX))
    }
}

#[test]
fn a_claimed_length_makes_room_for_a_mebibyte_at_most() {
    const MOST: usize = 1 << 22; // what is asked for is rounded up, shard by shard
    let pairs = Pairs(Liar(2));
    let map =
        ConcurrentMap::<u32, u32>::deserialize(MapDeserializer::<_, Error>::new(pairs)).unwrap();
    assert_eq!(map.len(), 2);
    assert!(map.capacity() * size_of::<(u32, u32)>() <= MOST, "room for {}", map.capacity());
    let set = ConcurrentSet::<u32>::deserialize(SeqDeserializer::<_, Error>::new(Liar(2))).unwrap();
    assert_eq!(set.len(), 2);
    assert!(set.capacity() * size_of::<u32>() <= MOST, "room for {}", set.capacity());
    let units =
        ConcurrentSet::<()>::deserialize(SeqDeserializer::<_, Error>::new([(), ()].into_iter()));
    assert_eq!(units.unwrap().len(), 1);
}

/// The liar's elements as keys with themselves as values.
struct Pairs(Liar);

impl Iterator for Pairs {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        self.0.next().map(|n| (n, n))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
