//! Batches by key.

use alloc::boxed::Box;

use tidegate_core::SystemClock;

use crate::{
    batcher::Batcher,
    builder::Builder,
    gatherer::{Key, Keys},
    key_index::KeyIndex,
};

/// A [`Batcher`] of items with keys, each of which has a batch, a timer and an order of its own:
/// see [`Builder::keyed`].
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_batch_processor::{Batcher, KeyedBatcher, Wait};
///
/// // One insert for each table, of at most 2 rows.
/// let insert = |rows: Vec<(&'static str, u32)>| {
///     let table = rows[0].0;
///     Ok::<_, ()>(rows.iter().map(|(_, row)| format!("{table}: {row} of {}", rows.len())).collect())
/// };
/// let (batcher, driver) = Batcher::builder()
///     .max_items(2)
///     .max_delay(Duration::from_secs(3600))
///     .keyed()
///     .build_on_thread(insert)?;
/// let batcher: KeyedBatcher<&str, u32, String, ()> = batcher;
/// let rows = [("users", 1), ("orders", 2), ("users", 3)];
/// let replies = rows.map(|row| batcher.try_submit(row).unwrap());
/// batcher.flush().wait().unwrap();
/// let results = replies.map(|reply| reply.wait().unwrap());
/// assert_eq!(results, ["users: 1 of 2", "orders: 2 of 1", "users: 3 of 2"]);
/// # drop(batcher);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
pub type KeyedBatcher<K, T, R, E, C = SystemClock> = Batcher<(K, T), R, E, C>;

impl<K, T, C> Builder<(K, T), C>
where
    K: Ord + Clone + Send + Sync + 'static,
{
    /// Gathers a batch for each key: the handler gets items of one key only.
    ///
    /// Each key has its own batch, which is full, heavy or old on its own; its own order, with at
    /// most one batch in flight; and its turn, one batch at a time. All else is for all keys
    /// together: the [capacity](Self::capacity), the number of batches in
    /// [flight](Self::max_in_flight), flush, close and shutdown, the statistics, and the driver.
    /// Where there is no room and nothing is due, the oldest batch is.
    /// [`OnFull::DropOldest`](crate::OnFull::DropOldest) drops the first item of the oldest batch
    /// that waits. What comes back from a shutdown is in order key by key.
    ///
    /// A key is cloned once when it comes, and is forgotten when nothing of it waits or runs. What
    /// is kept is the room of as many keys as were ever there at once, which the capacity bounds.
    /// An item costs a search among the keys that are there. `K::cmp`, `K::clone` and the drop of
    /// these clones run with no lock held: they may call the batcher. If one of them panics, no
    /// accepted item is lost: a caller has its panic, and the driver goes on.
    pub fn keyed(self) -> Self {
        self.with_keys(Box::new(KeyIndex::new()))
    }
}

impl<K, T> Keys<(K, T)> for KeyIndex<K>
where
    K: Ord + Clone + Send + Sync,
{
    fn find(&self, (key, _): &(K, T)) -> Option<Key> {
        self.find(key)
    }

    fn claim(&self, (key, _): &(K, T)) -> Key {
        self.claim(key)
    }

    fn release(&self, key: Key) {
        self.release(key);
    }
}
