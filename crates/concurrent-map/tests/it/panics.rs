//! Panics at every place where foreign code runs: the map stays consistent and loses nothing but
//! what its docs say.
//!
//! A script of operations is run again and again, each time with a longer fuse: first the first
//! call of foreign code panics, then the second, and so on to the last. Foreign code is `Hash`,
//! `Eq`, `PartialEq`, `Clone`, every closure and, in a run of its own, `Drop`. The operation that a
//! panic ends may have had its effect or not, for each key; everything else is as if there had been
//! no panic.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet},
    hash::{BuildHasherDefault, Hash, Hasher},
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use tidegate_concurrent_map::{ConcurrentMap, Keyed, Op};

thread_local! {
    /// How many more steps of foreign code go well; `None`: all.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
    /// Whether a destructor is a step.
    static DROPS_ARE_STEPS: Cell<bool> = const { Cell::new(false) };
    /// Whether a key that is hashed once more, because a shard grows, is a step.
    static REHASHES_ARE_STEPS: Cell<bool> = const { Cell::new(false) };
    static LIVING: RefCell<HashSet<u32>> = RefCell::default();
    static BORN: Cell<u32> = const { Cell::new(0) };
}

fn step() {
    if let Some(left) = FUSE.get() {
        FUSE.set(left.checked_sub(1));
        if left == 0 {
            // Without a message.
            resume_unwind(Box::new("the fuse has blown"));
        }
    }
}

/// What lives, by a number of its own: a value that is dropped twice, or never, is found out.
#[derive(Debug)]
struct Life(u32);

impl Life {
    fn new() -> Self {
        BORN.set(BORN.get() + 1);
        LIVING.with_borrow_mut(|living| living.insert(BORN.get()));
        Self(BORN.get())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        assert!(LIVING.with_borrow_mut(|living| living.remove(&self.0)), "dropped twice");
        if DROPS_ARE_STEPS.get() && !thread::panicking() {
            step();
        }
    }
}

fn living() -> usize {
    LIVING.with_borrow(HashSet::len)
}

#[derive(Debug)]
struct Key {
    n: u32,
    was_hashed: Cell<bool>,
    _life: Life,
}

fn key(n: u32) -> Key {
    Key { n, was_hashed: Cell::new(false), _life: Life::new() }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        step();
        self.n == other.n
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if !self.was_hashed.replace(true) || REHASHES_ARE_STEPS.get() {
            step();
        }
        self.n.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        step();
        key(self.n)
    }
}

#[derive(Debug)]
struct Value {
    n: u32,
    _life: Life,
}

fn value(n: u32) -> Value {
    Value { n, _life: Life::new() }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        step();
        value(self.n)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        step();
        self.n == other.n
    }
}

/// Adds to a value, with a step before and a step behind.
fn add(value: &mut Value, n: u32) {
    step();
    value.n += n;
    step();
}

type Reference = BTreeMap<u32, u32>;

/// An operation, and what it does.
struct Act<M>(&'static str, fn(&M), fn(&mut Reference));

/// What a script runs on: a map or a registry.
trait Subject {
    fn new() -> Self;
    /// The entries, and the number of them that the subject says it has.
    fn read(&self) -> (Vec<(u32, u32)>, usize);
    fn finds(&self, n: u32) -> bool;
}

/// Runs the script with a fuse for 0 steps, 1 step, … until none is cut off; returns how long that
/// fuse was.
fn sweep<M: Subject>(script: &[Act<M>]) -> u32 {
    for fuse in 0.. {
        assert!(fuse < 20_000, "the script never ends well");
        let start = living();
        let (subject, mut reference) = (M::new(), Reference::new());
        let (mut has_blown, mut leaks) = (false, 0);
        FUSE.set(Some(fuse));
        for Act(name, run, expected) in script {
            let result = catch_unwind(AssertUnwindSafe(|| run(&subject)));
            let left = FUSE.take();
            let (before, mut after) = (reference.clone(), reference);
            expected(&mut after);
            if left.is_some() && !has_blown {
                // Shorter fuses have shown that this goes well.
                reference = after;
                FUSE.set(left);
                continue;
            }
            let (entries, len) = subject.read();
            reference = entries.iter().copied().collect();
            let place = format!("{name}, fuse {fuse}");
            assert_eq!(
                (entries.len(), len),
                (reference.len(), entries.len()),
                "{place}: once each"
            );
            assert!(reference.keys().all(|n| subject.finds(*n)), "{place}: each key is found");
            has_blown = true;
            // A panic in the drop of a key that is not needed is not passed on.
            if result.is_ok() {
                assert_eq!(reference, after, "{place}");
            } else {
                leaks = match *name {
                    _ if !DROPS_ARE_STEPS.get() => 0,
                    // If a drop at the end of any function panics, its return value leaks
                    // (rust-lang/rust #47949).
                    _ => 1,
                };
                for n in before.keys().chain(after.keys()).chain(reference.keys()) {
                    let now = reference.get(n);
                    assert!(now == before.get(n) || now == after.get(n), "{place}: {n} is {now:?}");
                }
            }
            assert!(living() - start - 2 * len <= leaks, "{place}: what lives");
            FUSE.set(left);
        }
        FUSE.set(None);
        drop(subject);
        assert!(living() - start <= leaks, "fuse {fuse}: what is left");
        if !has_blown {
            return fuse;
        }
    }
    unreachable!("it has ended well")
}

type Map = ConcurrentMap<Key, Value>;

impl Subject for Map {
    fn new() -> Self {
        // With one shard, a panic in a table can hit as many other entries as possible.
        Map::with_shards(1)
    }

    fn read(&self) -> (Vec<(u32, u32)>, usize) {
        (
            self.map_values(|_, value| value.n).into_iter().map(|(key, n)| (key.n, n)).collect(),
            self.len(),
        )
    }

    fn finds(&self, n: u32) -> bool {
        self.contains_key(&key(n))
    }
}

/// Every method of the map, each way that it can go.
#[rustfmt::skip]
const MAP: &[Act<Map>] = &[
    Act("fill", |m| (0..12).for_each(|n| drop(m.insert(key(n), value(n)))), |r| r.extend((0..12).map(|n| (n, n)))),
    Act("insert", |m| drop(m.insert(key(1), value(11))), |r| _ = r.insert(1, 11)),
    Act("insert, new", |m| drop(m.insert(key(20), value(20))), |r| _ = r.insert(20, 20)),
    Act("try_insert", |m| drop(m.try_insert(key(2), value(0))), |r| _ = r.entry(2).or_insert(0)),
    Act("try_insert, new", |m| drop(m.try_insert(key(21), value(21))), |r| _ = r.entry(21).or_insert(21)),
    Act("get", |m| drop(m.get(&key(1))), |_| ()),
    Act("get, absent", |m| drop(m.get(&key(99))), |_| ()),
    Act("get_with", |m| _ = m.get_with(&key(1), |_| step()), |_| ()),
    Act("contains_key", |m| _ = m.contains_key(&key(1)), |_| ()),
    Act("remove", |m| drop(m.remove(&key(2))), |r| _ = r.remove(&2)),
    Act("remove, absent", |m| drop(m.remove(&key(99))), |_| ()),
    Act("remove_if", |m| drop(m.remove_if(&key(3), |_, _| (step(), true).1)), |r| _ = r.remove(&3)),
    Act("remove_if, not", |m| drop(m.remove_if(&key(4), |_, _| (step(), false).1)), |_| ()),
    Act("update", |m| _ = m.update(&key(5), |v| add(v, 100)), |r| _ = r.entry(5).and_modify(|n| *n += 100)),
    Act("update, absent", |m| _ = m.update(&key(99), |v| add(v, 100)), |_| ()),
    Act("upsert", |m| _ = m.upsert(key(6), || value(0), |v| add(v, 1)), |r| _ = r.entry(6).and_modify(|n| *n += 1).or_insert(0)),
    Act("upsert, new", |m| _ = m.upsert(key(22), || (step(), value(22)).1, |v| add(v, 1)), |r| _ = r.insert(22, 22)),
    Act("get_or_insert_with", |m| drop(m.get_or_insert_with(key(6), || value(0))), |r| _ = r.entry(6).or_insert(0)),
    Act("get_or_insert_with, new", |m| drop(m.get_or_insert_with(key(23), || (step(), value(23)).1)), |r| _ = r.entry(23).or_insert(23)),
    Act("compute, put", |m| drop(m.compute(key(7), |_| (step(), Op::Put(value(70))).1)), |r| _ = r.insert(7, 70)),
    Act("compute, put new", |m| drop(m.compute(key(24), |_| (step(), Op::Put(value(24))).1)), |r| _ = r.insert(24, 24)),
    Act("compute, remove", |m| drop(m.compute(key(8), |_| (step(), Op::Remove).1)), |r| _ = r.remove(&8)),
    Act("compute, remove nothing", |m| drop(m.compute(key(99), |_| (step(), Op::Remove).1)), |_| ()),
    Act("compute, keep", |m| drop(m.compute(key(7), |_| (step(), Op::Keep).1)), |_| ()),
    Act("compare_and_swap", |m| drop(m.compare_and_swap(&key(9), &value(9), value(90))), |r| _ = r.entry(9).and_modify(|n| *n = if *n == 9 { 90 } else { *n })),
    Act("compare_and_swap, different", |m| drop(m.compare_and_swap(&key(10), &value(9), value(90))), |_| ()),
    Act("compare_and_swap, absent", |m| drop(m.compare_and_swap(&key(99), &value(9), value(90))), |_| ()),
    Act("for_each", |m| m.for_each(|_, _| step()), |_| ()),
    Act("find", |m| drop(m.find(|_, v| (step(), v.n == 11).1)), |_| ()),
    Act("any", |m| _ = m.any(|_, v| (step(), v.n == 11).1), |_| ()),
    Act("all", |m| _ = m.all(|_, v| (step(), v.n < 60).1), |_| ()),
    Act("fold", |m| _ = m.fold(0, |n, _, _| (step(), n + 1).1), |_| ()),
    Act("filter", |m| drop(m.filter(|_, v| (step(), v.n % 2 == 0).1)), |_| ()),
    Act("map_values", |m| drop(m.map_values(|_, v| (step(), v.n).1)), |_| ()),
    Act("keys", |m| drop(m.keys()), |_| ()),
    Act("values", |m| drop(m.values()), |_| ()),
    Act("snapshot", |m| drop(m.snapshot()), |_| ()),
    Act("retain", |m| m.retain(|k, v| (step(), v.n += 1, k.n % 3 != 0).2), |r| r.retain(|k, n| (*n += 1, k % 3 != 0).1)),
    Act("clear", |m| m.clear(), |r| r.clear()),
    Act("grow", |m| (0..30).for_each(|n| drop(m.insert(key(n), value(n)))), |r| r.extend((0..30).map(|n| (n, n)))),
    Act("shrink", |m| (5..25).for_each(|n| drop(m.remove(&key(n)))), |r| r.retain(|n, _| !(5..25).contains(n))),
    Act("grow again", |m| (0..9).for_each(|n| _ = m.upsert(key(n), || value(1), |v| v.n = 1)), |r| r.extend((0..9).map(|n| (n, 1)))),
];

#[test]
fn a_panic_costs_no_more_than_what_it_has_cut_off() {
    let steps = sweep(MAP);
    assert!(steps > 300, "only {steps} calls of foreign code");
}

#[test]
fn neither_does_a_panic_of_hash_while_a_shard_grows() {
    REHASHES_ARE_STEPS.set(true);
    sweep(MAP);
    sweep(REGISTRY);
}

#[test]
fn neither_does_a_panic_of_a_destructor() {
    DROPS_ARE_STEPS.set(true);
    let steps = sweep(MAP);
    assert!(steps > 500, "only {steps} calls of foreign code");
}

type Registry = Keyed<Key, Value>;

impl Subject for Registry {
    fn new() -> Self {
        Keyed::new(NonZeroUsize::new(12).unwrap())
    }

    fn read(&self) -> (Vec<(u32, u32)>, usize) {
        let mut entries = Vec::new();
        self.for_each(|key, value| entries.push((key.n, value.n)));
        (entries, self.len())
    }

    fn finds(&self, n: u32) -> bool {
        self.get_with(&key(n), |_| ()).is_some()
    }
}

fn enter(registry: &Registry, n: u32, idle: u32) {
    // A refused call has changed nothing.
    let _ = registry.with(
        &key(n),
        || (step(), value(n)).1,
        |value| (step(), value.n == idle).1,
        |_| step(),
    );
}

#[rustfmt::skip]
const REGISTRY: &[Act<Registry>] = &[
    Act("fill", |m| (0..6).for_each(|n| enter(m, n, 99)), |r| r.extend((0..6).map(|n| (n, n)))),
    Act("with", |m| _ = m.with(&key(1), || value(0), |_| false, |v| add(v, 50)), |r| _ = r.entry(1).and_modify(|n| *n += 50).or_insert(50)),
    Act("get", |m| drop(m.get(&key(1))), |_| ()),
    Act("get_with", |m| _ = m.get_with(&key(2), |v| add(v, 50)), |r| _ = r.entry(2).and_modify(|n| *n += 50)),
    Act("for_each", |m| m.for_each(|_, _| step()), |_| ()),
    Act("remove", |m| drop(m.remove(&key(3))), |r| _ = r.remove(&3)),
    Act("remove, absent", |m| drop(m.remove(&key(99))), |_| ()),
    Act("fill up", |m| (6..9).for_each(|n| enter(m, n, 99)), |r| r.extend((6..9).map(|n| (n, n)))),
    Act("retain", |m| m.retain(|k, v| (step(), v.n += 1, k.n != 6).2), |r| r.retain(|k, n| (*n += 1, *k != 6).1)),
];

#[test]
fn a_panic_in_a_registry_costs_no_more_either_and_no_place() {
    for drops_are_steps in [false, true] {
        DROPS_ARE_STEPS.set(drops_are_steps);
        let steps = sweep(REGISTRY);
        assert!(steps > 60, "only {steps} calls of foreign code");
    }
}

#[test]
fn a_panic_while_an_idle_entry_gives_way_costs_no_place() {
    for fuse in 0..100 {
        let start = living();
        let registry = Keyed::new(NonZeroUsize::new(8).unwrap());
        (0..8).for_each(|n| enter(&registry, n, 99));
        FUSE.set(Some(fuse));
        let result = catch_unwind(AssertUnwindSafe(|| enter(&registry, 100, 5)));
        FUSE.set(None);
        let (entries, len) = registry.read();
        assert_eq!(entries.len(), len);
        assert!(entries.iter().all(|(n, _)| *n < 8 || *n == 100), "{entries:?}");
        assert!(
            entries.iter().filter(|(n, _)| *n < 8 && *n != 5).count() == 7,
            "only idle ones go"
        );
        assert_eq!(living(), start + 2 * len);
        // Each of the eight slots can still be filled.
        (200..208).for_each(|n| enter(&registry, n, 99));
        assert_eq!(registry.len(), 8);
        if result.is_ok() {
            assert!(fuse >= 5, "only {fuse} calls of foreign code");
            return;
        }
    }
    panic!("it never ends well");
}

/// A number is its own hash, so that consecutive keys fill a table without a gap.
#[derive(Default)]
struct Row(u64);

impl Hasher for Row {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u32");
    }

    fn write_u32(&mut self, n: u32) {
        self.0 = n.into();
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A bucket in the midst of full ones stays blocked when its entry is removed: room is made by
/// moving all entries to a table of the same size.
#[test]
fn a_panic_of_hash_loses_nobody_where_many_were_removed() {
    REHASHES_ARE_STEPS.set(true);
    for fuse in 0.. {
        let map = ConcurrentMap::<_, _, BuildHasherDefault<Row>>::with_shards_and_hasher(
            1,
            Default::default(),
        );
        (0..112).for_each(|n| drop(map.insert(key(n), value(n))));
        (10..112).for_each(|n| drop(map.remove(&key(n))));
        FUSE.set(Some(fuse));
        let result = catch_unwind(AssertUnwindSafe(|| drop(map.insert(key(60), value(0)))));
        FUSE.set(None);
        assert!((0..10).all(|n| map.contains_key(&key(n))), "fuse {fuse}");
        assert_eq!(map.len(), 10 + usize::from(result.is_ok()), "fuse {fuse}");
        assert_eq!(living(), 2 * map.len());
        if result.is_ok() {
            assert!(fuse > 10, "no entry was moved");
            return;
        }
    }
}

#[test]
fn maps_are_unwind_safe_if_keys_and_values_are() {
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn safe<T: UnwindSafe + RefUnwindSafe>(_: &T) {}
    safe(&ConcurrentMap::<String, Vec<u8>>::new());
    safe(&tidegate_concurrent_map::ConcurrentSet::<String>::new());
    safe(&Keyed::<String, u32>::new(NonZeroUsize::MIN));
}
