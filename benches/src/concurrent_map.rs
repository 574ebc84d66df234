//! A table for many threads: read, written, grown and walked by one thread and by two; and weighed.

mod crates;
mod loops;
pub mod memory;

mod pairs;
mod subject;

use self::{crates::*, loops::*, pairs::*, subject::*};
use crate::workload::{Contender, REFERENCE, Workload, ours, rival};

/// What is replaced or removed is dropped before the call returns. Readers may wait for a writer.
const AT_ONCE: &str = "at once";

/// What is replaced or removed is dropped some time after its last reader. Readers wait for nobody.
const LATER: &str = "later";

/// One contender for each map with these types of keys and values; in the loop, `Map` is its type.
macro_rules! everybody {
    ($key:ty, $value:ty, |Map| $($each:tt)+) => {{
        macro_rules! each {
            ($map:ty) => {{
                type Map = $map;
                $($each)+
            }};
        }
        vec![
            ours("tidegate", AT_ONCE, each!(Tidegate<$key, $value>)),
            rival("RwLock<HashMap>", AT_ONCE, each!(Locked<$key, $value>)),
            rival("64 × Mutex<HashMap>", AT_ONCE, each!(Sharded<$key, $value>)),
            rival("dashmap", AT_ONCE, each!(Dashmap<$key, $value>)),
            rival("scc HashMap", AT_ONCE, each!(SccMap<$key, $value>)),
            rival("scc HashIndex", LATER, each!(SccIndex<$key, $value>)),
            rival("papaya", LATER, each!(Papaya<$key, $value>)),
            rival("flurry", LATER, each!(Flurry<$key, $value>)),
        ]
    }};
}

/// The same, and std's map without a lock.
macro_rules! everybody_and_std {
    ($key:ty, $value:ty, |Map| $($each:tt)+) => {{
        let mut contenders = everybody!($key, $value, |Map| $($each)+);
        contenders.push(rival("std HashMap", REFERENCE, {
            type Map = Bare<$key, $value>;
            $($each)+
        }));
        contenders
    }};
}

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "concurrent-map/get, there, 16,384 keys",
        unit: "get",
        contenders: || {
            let mut contenders =
                everybody_and_std!(u64, u64, |Map| getting::<Map>(FEW, &EACH_OF_FEW));
            contenders.push(rival("papaya, one pin", REFERENCE, getting_under_one_pin()));
            contenders
        },
    },
    Workload {
        name: "concurrent-map/get, there, 1,000,000 keys",
        unit: "get",
        contenders: || everybody_and_std!(u64, u64, |Map| getting::<Map>(MANY, &EACH_OF_MANY)),
    },
    Workload {
        name: "concurrent-map/get, not there",
        unit: "get",
        contenders: || everybody_and_std!(u64, u64, |Map| missing::<Map>()),
    },
    Workload {
        name: "concurrent-map/get, strings",
        unit: "get",
        contenders: || everybody_and_std!(String, String, |Map| getting_strings::<Map>()),
    },
    Workload {
        name: "concurrent-map/get or insert, there",
        unit: "get",
        contenders: || everybody_and_std!(u64, u64, |Map| getting_or_inserting::<Map>()),
    },
    Workload {
        name: "concurrent-map/overwrite",
        unit: "insert",
        contenders: || everybody_and_std!(u64, u64, |Map| overwriting::<Map>()),
    },
    Workload {
        name: "concurrent-map/upsert, there",
        unit: "upsert",
        contenders: || everybody_and_std!(u64, u64, |Map| upserting::<Map>()),
    },
    Workload {
        name: "concurrent-map/insert and remove",
        unit: "insert and remove",
        contenders: || everybody_and_std!(u64, u64, |Map| churning::<Map>()),
    },
    Workload {
        name: "concurrent-map/growth to 1,000,000 keys",
        unit: "insert",
        contenders: || whole(everybody_and_std!(u64, u64, |Map| growing::<Map>())),
    },
    Workload {
        name: "concurrent-map/iteration over 1,000,000 keys",
        unit: "entry",
        contenders: || whole(everybody_and_std!(u64, u64, |Map| visiting::<Map>())),
    },
    Workload {
        name: "concurrent-map/get, there, 2 threads",
        unit: "get",
        contenders: || {
            let mut contenders = everybody!(u64, u64, |Map| getting_by_two::<Map>());
            contenders.push(rival("papaya, one pin", REFERENCE, getting_by_two_under_one_pin()));
            contenders
        },
    },
    Workload {
        name: "concurrent-map/98 get 1 insert 1 remove, 2 threads",
        unit: "operation",
        contenders: || everybody!(u64, u64, |Map| mixing::<Map>(&READING)),
    },
    Workload {
        name: "concurrent-map/98 get 1 insert 1 remove, Zipf, 2 threads",
        unit: "operation",
        contenders: || everybody!(u64, u64, |Map| mixing::<Map>(&READING_BY_ZIPF)),
    },
    Workload {
        name: "concurrent-map/50 get 25 insert 25 remove, 2 threads",
        unit: "operation",
        contenders: || everybody!(u64, u64, |Map| mixing::<Map>(&WRITING)),
    },
    Workload {
        name: "concurrent-map/50 get 25 insert 25 remove, Zipf, 2 threads",
        unit: "operation",
        contenders: || everybody!(u64, u64, |Map| mixing::<Map>(&WRITING_BY_ZIPF)),
    },
    Workload {
        name: "concurrent-map/8 hot counters, 2 threads",
        unit: "upsert",
        contenders: || everybody!(u64, u64, |Map| counting_by_two::<Map>()),
    },
    Workload {
        name: "concurrent-map/overwrite, 2 threads",
        unit: "insert",
        contenders: || everybody!(u64, u64, |Map| overwriting_by_two::<Map>()),
    },
];

/// Makes sure that the results are for maps of [`MANY`] keys.
fn whole(contenders: Vec<Contender>) -> Vec<Contender> {
    contenders.into_iter().map(|contender| contender.at_least(MANY as u64)).collect()
}
