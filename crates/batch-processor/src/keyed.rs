//! Batches by key.

use alloc::boxed::Box;

use tidegate_core::SystemClock;

use crate::{
    batcher::Batcher,
    builder::Builder,
    gatherer::{Key, Keys},
    key_index::KeyIndex,
};

/// A [`Batcher`] of items with keys. Each key has a batch, a timer and an order of its own: see
/// [`Builder::keyed`].
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
    /// Gathers a batch for each key: each batch that the handler gets has items of one key only.
    ///
    /// Each key has its own batch, with its own size, weight and delay, and its own order, with at
    /// most one batch in flight. The keys take turns, one batch at a time. Everything else is for
    /// all keys together: the [capacity](Self::capacity), the number of batches in
    /// [flight](Self::max_in_flight), flush, close and shutdown, the statistics, and the driver. If
    /// there is no room and no batch is due, the oldest batch becomes due.
    /// [`OnFull::DropOldest`](crate::OnFull::DropOldest) drops the first item of the oldest batch
    /// that waits. The items that a shutdown gives back are in order within each key.
    ///
    /// A key is cloned when its first item comes, and is forgotten when none of its items waits or
    /// runs. Memory is kept for as many keys as were ever in use at once; the capacity, the batches
    /// in flight and the callers that push at one time bound that number. An item costs a search
    /// among the keys that are in use. `K::cmp`, `K::clone` and the drop of these clones run with
    /// no lock held: they may call the batcher. If one of them panics, no accepted item is lost: in
    /// a call the panic propagates to the caller, and in the driver it is caught.
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
