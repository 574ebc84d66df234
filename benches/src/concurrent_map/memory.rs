//! What the maps weigh: bytes that they have asked of the allocator and not given back.

use std::mem;

use super::{
    crates::*,
    loops::{MANY, name, text},
    subject::{Bare, Locked, Sharded, Single},
};
use crate::keys::key;

/// What the process has got from the allocator and not given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Bytes asked for. The allocator adds some to each block, and rounds up.
    pub bytes: usize,

    /// Blocks.
    pub blocks: usize,
}

/// What a map weighs.
#[derive(Debug)]
pub struct Weight {
    /// The contender.
    pub name: &'static str,

    /// Whether it is one of tidegate's.
    pub ours: bool,

    /// Numbers to numbers: 16 bytes of key and value.
    pub numbers: PerEntry,

    /// The least and the most bytes an entry while the second half of the numbers was inserted.
    pub while_growing: (f64, f64),

    /// Strings to strings: 100 bytes of key and value, 52 of them in blocks of their own.
    pub strings: PerEntry,

    /// Bytes of a map without entries, itself included.
    pub empty: usize,

    /// Bytes of a map with one entry, itself included.
    pub single: usize,

    /// Bytes of a thousand maps without entries.
    pub thousand: usize,
}

/// What an entry weighs.
#[derive(Debug, Clone, Copy)]
pub struct PerEntry {
    /// Bytes, with the entry's share of the table.
    pub bytes: f64,

    /// Blocks.
    pub blocks: f64,
}

/// How many strings there are. Of numbers there are [`MANY`].
const STRINGS: usize = 100_000;

/// Weighs all maps, one after the other. Nobody else may allocate meanwhile.
pub fn weigh(held: fn() -> Held) -> Vec<Weight> {
    let scales = Scales { held };
    vec![
        scales.weigh::<Tidegate<_, _>, Tidegate<_, _>>("tidegate", true),
        scales.weigh::<Locked<_, _>, Locked<_, _>>("RwLock<HashMap>", false),
        scales.weigh::<Sharded<_, _>, Sharded<_, _>>("64 × Mutex<HashMap>", false),
        scales.weigh::<Dashmap<_, _>, Dashmap<_, _>>("dashmap", false),
        scales.weigh::<SccMap<_, _>, SccMap<_, _>>("scc HashMap", false),
        scales.weigh::<SccIndex<_, _>, SccIndex<_, _>>("scc HashIndex", false),
        scales.weigh::<Papaya<_, _>, Papaya<_, _>>("papaya", false),
        scales.weigh::<Flurry<_, _>, Flurry<_, _>>("flurry", false),
        scales.weigh::<Bare<_, _>, Bare<_, _>>("std HashMap", false),
    ]
}

struct Scales {
    held: fn() -> Held,
}

impl Scales {
    /// Weighs what `make` makes, without what lies on the stack.
    fn of<T>(&self, make: impl FnOnce() -> T) -> (T, Held) {
        let before = (self.held)();
        let made = make();
        (made, self.since(before))
    }

    fn since(&self, before: Held) -> Held {
        let now = (self.held)();
        Held { bytes: now.bytes - before.bytes, blocks: now.blocks - before.blocks }
    }

    fn weigh<Numbers, Strings>(&self, name: &'static str, ours: bool) -> Weight
    where
        Numbers: Single<Key = u64, Value = u64> + Default,
        Strings: Single<Key = String, Value = String> + Default,
    {
        // What is allocated once for all maps, or once for a thread, does not count.
        drop(single::<Numbers>());
        let (empty, its) = self.of(Numbers::default);
        drop(empty);
        let (one, its_with_one) = self.of(single::<Numbers>);
        drop(one);
        let (thousand, theirs) =
            self.of(|| (0..1000).map(|_| Numbers::default()).collect::<Box<[_]>>());
        drop(thousand);
        let (numbers, while_growing) = self.grow::<Numbers>();
        Weight {
            name,
            ours,
            numbers,
            while_growing,
            strings: self.strings::<Strings>(),
            empty: mem::size_of::<Numbers>() + its.bytes,
            single: mem::size_of::<Numbers>() + its_with_one.bytes,
            thousand: theirs.bytes,
        }
    }

    fn grow<S: Single<Key = u64, Value = u64> + Default>(&self) -> (PerEntry, (f64, f64)) {
        let before = (self.held)();
        let mut map = S::default();
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for rank in 0..MANY {
            map.insert(key(rank), 1);
            let entries = rank + 1;
            if entries >= MANY / 2 && entries % (MANY / 200) == 0 {
                let PerEntry { bytes, .. } = PerEntry::of(self.since(before), entries);
                (least, most) = (least.min(bytes), most.max(bytes));
            }
        }
        (PerEntry::of(self.since(before), MANY), (least, most))
    }

    fn strings<S: Single<Key = String, Value = String> + Default>(&self) -> PerEntry {
        let (map, weight) = self.of(|| {
            let mut map = S::default();
            for rank in 0..STRINGS {
                map.insert(name(key(rank)), text());
            }
            map
        });
        drop(map);
        PerEntry::of(weight, STRINGS)
    }
}

fn single<S: Single<Key = u64, Value = u64> + Default>() -> S {
    let mut map = S::default();
    map.insert(1, 1);
    map
}

impl PerEntry {
    fn of(held: Held, entries: usize) -> Self {
        let each = |what: usize| what as f64 / entries as f64;
        Self { bytes: each(held.bytes), blocks: each(held.blocks) }
    }
}

/// Writes a table of at most 100 columns, in Markdown's form.
pub fn table(weights: &[Weight]) -> String {
    let row = |cells: [&str; 9]| {
        let [name, cells @ ..] = cells;
        let mut line = format!("| {name:<19} |");
        for (cell, width) in cells.iter().zip(WIDTHS) {
            line += &format!(" {cell:>width$} |");
        }
        line + "\n"
    };
    let mut lines = row([
        "contender",
        "u64",
        "growing",
        "blocks",
        "String",
        "blocks",
        "empty",
        "1 entry",
        "1000",
    ]);
    lines += &format!("| :{} |", "-".repeat(18));
    for width in WIDTHS {
        lines += &format!(" {}: |", "-".repeat(width - 1));
    }
    lines += "\n";
    for weight in weights {
        let name =
            if weight.ours { format!("**{}**", weight.name) } else { weight.name.to_owned() };
        let (least, most) = weight.while_growing;
        lines += &row([
            &name,
            &format!("{:.1}", weight.numbers.bytes),
            &format!("{least:.0} – {most:.0}"),
            &format!("{:.2}", weight.numbers.blocks),
            &format!("{:.0}", weight.strings.bytes),
            &format!("{:.2}", weight.strings.blocks),
            &weight.empty.to_string(),
            &weight.single.to_string(),
            &weight.thousand.to_string(),
        ]);
    }
    lines
}

/// The columns after the name.
const WIDTHS: [usize; 8] = [5, 9, 6, 6, 6, 5, 7, 8];

impl Weight {
    /// Returns a JSON object, on a line.
    pub fn json(&self) -> String {
        let Self { name, ours, numbers, while_growing: (least, most), strings, .. } = self;
        let Self { empty, single, thousand, .. } = self;
        // These names have no control characters, so that `{:?}` of them is also JSON.
        format!(
            "{{\"contender\":{name:?},\"ours\":{ours},\"numbers\":{:.3},\"least\":{least:.3},\"most\":{most:.3},\
             \"number_blocks\":{:.3},\"strings\":{:.3},\"string_blocks\":{:.3},\"empty\":{empty},\
             \"single\":{single},\"thousand\":{thousand}}}\n",
            numbers.bytes, numbers.blocks, strings.bytes, strings.blocks
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_a_terminal() {
        let weight = |name, ours| Weight {
            name,
            ours,
            numbers: PerEntry { bytes: 123.4, blocks: 12.3 },
            while_growing: (100.0, 234.5),
            strings: PerEntry { bytes: 1234.5, blocks: 1.0 },
            empty: 9999,
            single: 99_999,
            thousand: 99_999_999,
        };
        let text = table(&[weight("tidegate", true), weight("64 × Mutex<HashMap>", false)]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0] && width <= 100), "{text}");
        assert_eq!(text.lines().count(), 4);
    }
}
