//! Models of `RwShards`: announced and counted readers, writers to a biased shard, readers within
//! readers.
//!
//! Loom's cell fails a model in which one thread reads a value while another writes to it.

use std::{num::NonZeroUsize, sync::Arc};

use loom_tests::{model, thread};
use tidegate_core::{
    RwShards,
    primitive::atomic::{AtomicBool, Ordering},
};

/// After so many reads without a write a shard is biased.
const MANY: u32 = if cfg!(loom) { 2 } else { 10_000 };

fn shards(count: usize) -> Arc<RwShards<u32>> {
    Arc::new(RwShards::new(NonZeroUsize::new(count).unwrap(), |_| (0, ())))
}

/// One shard where readers announce themselves.
fn biased() -> Arc<RwShards<u32>> {
    let shards = shards(1);
    (0..MANY).for_each(|_| assert_eq!(read(&shards, 0), 0));
    assert!(is_biased(&shards));
    shards
}

fn is_biased(shards: &RwShards<u32>) -> bool {
    format!("{:?}", shards.get(0).unwrap()).contains("is_biased: true")
}

fn read(shards: &RwShards<u32>, index: usize) -> u32 {
    shards.get(index).unwrap().read(|value| *value)
}

/// Adds 1 in two steps: between them the value is odd, which nobody must see.
fn add(shards: &RwShards<u32>, index: usize) -> u32 {
    shards.get(index).unwrap().write(|value| {
        *value += 1;
        *value += 1;
        *value
    })
}

fn spawn<R: Send + 'static>(
    shards: &Arc<RwShards<u32>>,
    f: impl FnOnce(&RwShards<u32>) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let shards = shards.clone();
    thread::spawn(move || f(&shards))
}

#[test]
fn writers_exclude_each_other() {
    model(|| {
        let shards = shards(1);
        let others = [(); 2].map(|()| spawn(&shards, |shards| add(shards, 0)));
        add(&shards, 0);
        others.into_iter().for_each(|other| _ = other.join().unwrap());
        assert_eq!(read(&shards, 0), 6);
    });
}

#[test]
fn a_counted_reader_and_a_writer_exclude_each_other() {
    model(|| {
        let shards = shards(1);
        let writer = spawn(&shards, |shards| add(shards, 0));
        assert!(matches!(read(&shards, 0), 0 | 2));
        writer.join().unwrap();
        assert_eq!(read(&shards, 0), 2);
    });
}

#[test]
fn an_announced_reader_and_a_writer_exclude_each_other() {
    model(|| {
        let shards = biased();
        let reader = spawn(&shards, |shards| read(shards, 0));
        assert_eq!(add(&shards, 0), 2);
        assert!(matches!(reader.join().unwrap(), 0 | 2));
    });
}

#[test]
fn two_writers_meet_an_announced_reader() {
    model(|| {
        let shards = biased();
        let reader = spawn(&shards, |shards| read(shards, 0));
        let writer = spawn(&shards, |shards| add(shards, 0));
        add(&shards, 0);
        writer.join().unwrap();
        assert!(matches!(reader.join().unwrap(), 0 | 2 | 4));
        assert_eq!(read(&shards, 0), 4);
    });
}

#[test]
fn a_reader_that_finds_its_slot_taken_is_counted() {
    model(|| {
        let shards = biased();
        let readers = [(); 2].map(|()| spawn(&shards, |shards| read(shards, 0)));
        add(&shards, 0);
        let seen = readers.map(|reader| reader.join().unwrap());
        assert!(seen.iter().all(|value| matches!(value, 0 | 2)));
    });
}

#[test]
fn a_reader_that_has_moved_on_to_another_slot_is_seen_there() {
    model(|| {
        let shards = biased();
        // While this thread reads, its slot is taken, also for a reader that shares it.
        let reader = spawn(&shards, |shards| (read(shards, 0), read(shards, 0)));
        let first = shards.get(0).unwrap().read(|value| {
            thread::yield_now();
            *value
        });
        assert_eq!(first, 0);
        add(&shards, 0);
        let (first, second) = reader.join().unwrap();
        assert!(first <= second && first % 2 == 0 && second % 2 == 0);
    });
}

#[test]
fn a_bias_that_begins_beside_a_writer_hides_nobody_from_it() {
    model(|| {
        let shards = shards(1);
        (1..MANY).for_each(|_| _ = read(&shards, 0));
        // This reader begins the bias, before or after the write.
        let reader = spawn(&shards, |shards| (read(shards, 0), read(shards, 0)));
        add(&shards, 0);
        let (first, second) = reader.join().unwrap();
        assert!(first <= second && first % 2 == 0 && second % 2 == 0);
    });
}

#[test]
fn a_bias_that_ends_beside_readers_hides_nobody_from_the_writer() {
    model(|| {
        let shards = biased();
        let reader = spawn(&shards, |shards| (read(shards, 0), read(shards, 0)));
        // In a model the second write ends the bias.
        (0..2).for_each(|_| _ = add(&shards, 0));
        let (first, second) = reader.join().unwrap();
        assert!(first <= second && first % 2 == 0 && second % 2 == 0);
    });
}

#[test]
fn what_came_before_a_write_is_seen_by_an_announced_reader() {
    model(|| {
        let shards = biased();
        let ready = Arc::new(AtomicBool::new(false));
        let reader = {
            let ready = ready.clone();
            spawn(&shards, move |shards| {
                (0..2).for_each(|_| {
                    if read(shards, 0) == 2 {
                        assert!(ready.load(Ordering::Relaxed));
                    }
                });
            })
        };
        ready.store(true, Ordering::Relaxed);
        add(&shards, 0);
        reader.join().unwrap();
    });
}

#[test]
fn readers_within_readers_do_not_wait_for_writers_that_wait_for_them() {
    // Crosswise: each of the two threads reads one shard and, within that, the other; writers come
    // between.
    model(|| {
        let shards = shards(2);
        let crosswise = |shards: &RwShards<u32>, first: usize| {
            let outer = shards.get(first).unwrap();
            outer.scan(|one| *one + read(shards, 1 - first))
        };
        let other = spawn(&shards, move |shards| crosswise(shards, 1));
        let writer = spawn(&shards, |shards| add(shards, 0) + add(shards, 1));
        assert!(crosswise(&shards, 0) % 2 == 0);
        assert!(other.join().unwrap() % 2 == 0);
        assert_eq!(writer.join().unwrap(), 4);
    });
}

#[test]
fn a_reader_within_an_announced_reader_goes_before_a_writer_that_waits() {
    model(|| {
        let shards = biased();
        let writer = spawn(&shards, |shards| add(shards, 0));
        let again = shards.clone();
        let both = shards.get(0).unwrap().read(|outer| (*outer, read(&again, 0)));
        assert!(matches!(both, (0, 0) | (2, 2)));
        writer.join().unwrap();
    });
}

/// Adds 2 in two steps and closes the shard. Returns whether the shard was open.
fn close(shards: &RwShards<u32>) -> bool {
    let add = |value: &mut u32| {
        *value += 1;
        *value += 1;
    };
    shards.get(0).unwrap().close(add).is_some()
}

#[test]
fn who_comes_while_a_shard_is_closed_is_in_before_or_finds_it_closed() {
    model(|| {
        let shards = shards(1);
        let closer = spawn(&shards, close);
        let shard = shards.get(0).unwrap();
        match shard.begin_read() {
            Some(reading) => assert_eq!(reading.run(|value| *value), 0),
            None => assert!(shard.is_closed()),
        }
        let writing = shard.begin_write();
        let is_written = writing.map(|writing| writing.run(|value, ()| *value += 4)).is_some();
        assert!(closer.join().unwrap());
        assert!(shard.is_closed() && shard.begin_read().is_none());
        let value = Arc::into_inner(shards).unwrap().into_values().next();
        assert_eq!(value, Some(if is_written { 6 } else { 2 }));
    });
}

#[test]
fn a_shard_is_closed_by_one_of_two_and_what_it_did_is_seen() {
    model(|| {
        let shards = shards(1);
        let did = Arc::new(AtomicBool::new(false));
        let other = {
            let did = did.clone();
            spawn(&shards, move |shards| {
                did.store(true, Ordering::Relaxed);
                close(shards)
            })
        };
        let is_closed = shards.get(0).unwrap().is_closed();
        assert!(!is_closed || did.load(Ordering::Relaxed));
        let mine = close(&shards);
        assert!(mine != other.join().unwrap());
        assert_eq!(Arc::into_inner(shards).unwrap().into_values().next(), Some(2));
    });
}

#[test]
fn an_announced_reader_is_out_before_a_shard_is_closed() {
    model(|| {
        let shards = biased();
        let reader = spawn(&shards, |shards| {
            let reading = shards.get(0).unwrap().begin_read();
            reading.map(|reading| reading.run(|value| *value))
        });
        assert!(close(&shards));
        assert!(matches!(reader.join().unwrap(), None | Some(0)));
    });
}
