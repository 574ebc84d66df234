//! What the types of the keyed registry take, in bytes on a machine of 64 bits.
#![cfg(target_pointer_width = "64")]

use std::mem::size_of;

use tidegate_concurrent_map::{Keyed, Occupancy, TooManyKeys};

#[test]
fn no_type_of_the_registry_is_larger_than_it_need_be() {
    let table = [
        // This includes the few shards, all shards, and whether the registry has grown.
        ("Keyed<u64, u64>", size_of::<Keyed<u64, u64>>(), 152),
        ("Occupancy", size_of::<Occupancy>(), 16),
        ("TooManyKeys", size_of::<TooManyKeys>(), 8),
    ];
    for (name, size, most) in table {
        println!("{name}: {size}");
        assert!(size <= most, "{name}: {size} bytes, {most} were agreed on");
    }
}
