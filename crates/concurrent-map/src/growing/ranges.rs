//! Work on every shard, range by range.

use core::{
    convert::Infallible,
    ops::{
        ControlFlow::{self, Continue},
        Range,
    },
};

use tidegate_core::{
    primitive::atomic::{AtomicBool, Ordering},
    rw_shards::{Reading, Writing},
};

use super::{
    ENTRIES_PER_SHARD, FEW, GrowingShards, HashOf, Shard, Table, may_grow, publishing, replace,
};

/// A range of indices below [`count`](Self::count) stands for one of the few shards or, once its
/// entries have moved, for all shards at these indices.
impl<T: Table> GrowingShards<T> {
    /// Returns the ranges in which all shards are visited; none while a map that grows has no
    /// shards yet.
    pub(crate) fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + use<T> {
        self.ranges_if(self.is_grown())
    }

    fn ranges_if(&self, is_grown: bool) -> impl ExactSizeIterator<Item = Range<usize>> + use<T> {
        let len = if is_grown { 1 } else { self.range_len() };
        // A visitor of a range of several shards goes first to the one of the few that stands for
        // it, whose entries may be moving to the others. If the few have not been made yet, there
        // is nothing to visit.
        let count = if is_grown || self.few().is_some() { self.count() / len } else { 0 };
        (0..count).map(move |range| range * len..(range + 1) * len)
    }

    /// Does what [`read`](Self::read) does, by an index below [`count`](Self::count), for a section
    /// that may take long.
    pub(crate) fn read_at<R>(&self, index: usize, section: impl FnOnce(&T) -> R) -> Option<R> {
        let begun = match self.grown_at(index) {
            Some(shard) => shard.begin_scan(),
            None => self.few_at(index)?.begin_scan().or_else(|| self.all_at(index)?.begin_scan()),
        };
        Some(Reading::from(begun?).run(section))
    }

    /// Looks at the tables of a range, one lock at a time, until `look` breaks. `look` may take
    /// long.
    pub(crate) fn scan<B>(
        &self,
        range: Range<usize>,
        mut look: impl FnMut(&T) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match self.one_for(&range).and_then(Shard::<T>::begin_scan) {
            Some(begun) => Reading::from(begun).run(look),
            None => self.each_of_all(range).try_for_each(|shard| shard.scan(&mut look)),
        }
    }

    /// Looks at every table, one lock at a time. `look` may take long.
    pub(crate) fn scan_all(&self, mut look: impl FnMut(&T)) {
        self.ranges().for_each(|range| self.scan_range(range, &mut look));
    }

    /// Does what [`scan_all`](Self::scan_all) does, in one range.
    pub(crate) fn scan_range(&self, range: Range<usize>, mut look: impl FnMut(&T)) {
        let Continue(()) = self.scan(range, |table| {
            look(table);
            ControlFlow::<Infallible>::Continue(())
        });
    }

    /// Works on every table, one lock at a time, and publishes what has changed. `work` also gets
    /// the number of shards over which all entries are spread: the number of the few for a table of
    /// the few, else [`count`](Self::count).
    pub(crate) fn write_all(&self, mut work: impl FnMut(&mut T, usize)) {
        self.ranges().for_each(|range| self.write_range(range, &mut work));
    }

    /// Does what [`write_all`](Self::write_all) does, in one range.
    pub(crate) fn write_range(&self, range: Range<usize>, mut work: impl FnMut(&mut T, usize)) {
        if let Some(begun) = self.one_for(&range).and_then(Shard::<T>::begin_write) {
            return begun.run(publishing(|table: &mut T| work(table, FEW.get())));
        }
        for begun in self.each_of_all(range).filter_map(Shard::<T>::begin_write) {
            begun.run(publishing(|table: &mut T| work(table, self.count())));
        }
    }

    /// Does what [`write_all`](Self::write_all) does, with those tables for whose metadata
    /// `condition` returns true, until `work` breaks.
    pub(crate) fn write_if<B>(
        &self,
        condition: impl Fn(&T::Meta) -> bool,
        mut work: impl FnMut(&mut T) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut work_in = |begun: Writing<'_, T, T::Meta>| begun.run(publishing(&mut work));
        self.ranges().try_for_each(|range| {
            if let Some(shard) = self.one_for(&range).filter(|shard| !shard.is_closed()) {
                if !condition(shard.meta()) {
                    return Continue(());
                }
                if let Some(begun) = shard.begin_write() {
                    return work_in(begun);
                }
            }
            let meant = self.each_of_all(range).filter(|shard| condition(shard.meta()));
            meant.filter_map(Shard::<T>::begin_write).try_for_each(&mut work_in)
        })
    }

    /// Works on the table for an index below [`count`](Self::count). Returns how many indices, from
    /// this one on, the table is for, and what `section` returns; `None` if no table has been made
    /// yet. Publishes nothing: for sections after which the metadata may stay as it is.
    pub(crate) fn edit_at<R>(
        &self,
        index: usize,
        section: impl FnOnce(&mut T) -> R,
    ) -> Option<(usize, R)> {
        let (begun, len) = match self.grown_at(index) {
            Some(shard) => (shard.begin_write()?, 1),
            None => match self.few_at(index)?.begin_write() {
                Some(begun) => (begun, self.range_len() - index % self.range_len()),
                None => (self.all_at(index)?.begin_write()?, 1),
            },
        };
        Some((len, begun.run(|table, _| section(table))))
    }

    /// Makes the shards if there are none yet. Grows to all shards if there would be enough entries
    /// with `additional` more, unless the calling thread is nested too deeply. Then does what
    /// [`write_all`](Self::write_all) does.
    pub(crate) fn prepare(
        &self,
        additional: usize,
        hash_of: HashOf<'_, T>,
        work: impl FnMut(&mut T, usize),
    ) {
        self.make();
        let mut entries = additional;
        let Continue(()) = self.each_meta(|meta| {
            entries = entries.saturating_add(T::entries(meta));
            ControlFlow::<Infallible>::Continue(())
        });
        if let Some(few) = self.few() {
            if !self.is_grown() && entries >= ENTRIES_PER_SHARD * self.count() && may_grow() {
                self.grow(few, hash_of);
            }
        }
        self.write_all(work);
    }

    /// Looks at the metadata of each table, until `look` breaks.
    pub(crate) fn each_meta<B>(
        &self,
        mut look: impl FnMut(&T::Meta) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.ranges().try_for_each(|range| {
            match self.one_for(&range).filter(|shard| !shard.is_closed()) {
                Some(shard) => look(shard.meta()),
                None => self.each_of_all(range).try_for_each(|shard| look(shard.meta())),
            }
        })
    }

    /// Returns as many shards as these, without entries, for [`copy_to`](Self::copy_to).
    pub(crate) fn for_copies(&self) -> Self {
        Self { is_grown: AtomicBool::new(self.is_grown()), ..Self::fixed(self.count) }
    }

    /// Puts a copy of each table, as `copy` makes it, in the same place of `copied`, which was made
    /// [for copies](Self::for_copies) and is known to no other thread.
    pub(crate) fn copy_to(&self, copied: &Self, copy: impl Fn(&T) -> T) {
        for range in self.ranges_if(copied.is_grown()) {
            if let Some(shard) = self.one_for(&range) {
                copied.make();
                let place = copied.one_for(&range).expect("it was made");
                if let Some(begun) = shard.begin_scan() {
                    replace(place, Reading::from(begun).run(&copy));
                    continue;
                }
                _ = place.close(|_| ());
            }
            for (index, shard) in range.clone().zip(self.each_of_all(range)) {
                let table = shard.scan(&copy);
                replace(copied.make_all().get(index).expect("as many as here"), table);
            }
        }
        if copied.few().is_some_and(|few| few.iter().all(|shard| shard.is_closed())) {
            // ORDERING: Relaxed: no other thread has `copied` yet.
            copied.is_grown.store(true, Ordering::Relaxed);
        }
    }

    /// Panics with std if the calling thread is in a section of these shards.
    #[cfg(feature = "rayon")]
    pub(crate) fn assert_outside(&self) {
        tidegate_core::rw_shards::assert_outside_of(self);
    }

    /// Returns the one of the few, open or closed, that is for an index; `None` if there are no
    /// few.
    fn few_at(&self, index: usize) -> Option<Shard<'_, T>> {
        let few = self.few()?;
        Some(few.get(index / self.range_len())?.owned_by(self))
    }

    fn all_at(&self, index: usize) -> Option<Shard<'_, T>> {
        Some(self.all.get()?.get(index)?.owned_by(self))
    }

    fn grown_at(&self, index: usize) -> Option<Shard<'_, T>> {
        Some(self.grown()?.get(index)?.owned_by(self))
    }

    /// Returns the one of the few, open or closed, that is for a range of several indices; `None`
    /// for a range of one.
    fn one_for(&self, range: &Range<usize>) -> Option<Shard<'_, T>> {
        if range.len() == 1 { None } else { self.few_at(range.start) }
    }

    fn each_of_all(&self, range: Range<usize>) -> impl Iterator<Item = Shard<'_, T>> {
        range.filter_map(|index| self.all_at(index))
    }
}
