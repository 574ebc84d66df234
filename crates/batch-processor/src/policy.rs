//! When a batch is handed over, and what happens to an item for which there is no room.

/// When a batch that is not full is handed over.
///
/// Whatever the policy, a batch is due when it is full by items or weight, after a flush or the
/// close, and when there is no room for an item and no other batch is due.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{Batcher, Policy, Wait};
///
/// // Alone, an item is handed over at once; while a batch runs, the next one gathers.
/// let (batcher, driver) = Batcher::builder()
///     .policy(Policy::Immediate)
///     .build_on_thread(|items: Vec<u8>| Ok::<_, ()>(items))?;
/// assert_eq!(batcher.submit(1).wait().unwrap(), 1);
/// assert_eq!(batcher.stats().by_idle, 1);
/// # drop(batcher);
/// # driver.join();
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", deny_unknown_fields))]
#[non_exhaustive]
pub enum Policy {
    /// Never: a batch waits until it is full, however long that takes.
    Size,
    /// When its first item has waited for [`max_delay`](crate::Builder::max_delay).
    #[default]
    Delay,
    /// As soon as fewer than [`max_in_flight`](crate::Builder::max_in_flight) batches run. Batches
    /// are as large as the load makes them: an item alone waits for nothing, and items that come
    /// while no batch may start share a batch. The driver sets no timer.
    Immediate,
    /// At once if no batch runs, like Nagle's algorithm for small packets; while others run, when
    /// the batch has `min` items, or its first item has waited for
    /// [`max_delay`](crate::Builder::max_delay).
    ///
    /// With one batch in flight this is [`Immediate`](Self::Immediate): nothing can start while one
    /// runs. The same holds with [keys](crate::Builder::keyed): a key looks only at its own
    /// batches, of which one runs at most.
    Balanced {
        /// The number of items with which a batch starts although others run: from 1 to
        /// `max_items`.
        min: usize,
    },
}

/// What happens to an item for which there is no room.
///
/// # Examples
///
/// ```
/// use tidegate_batch_processor::{BatchError, Batcher, OnFull, Wait};
///
/// // The newest readings matter most.
/// let (batcher, driver) = Batcher::builder()
///     .max_items(2)
///     .capacity(2)
///     .on_full(OnFull::DropOldest)
///     .build(|readings: Vec<u32>| Ok::<_, ()>(readings))?;
/// let replies = [1, 2, 3].map(|reading| batcher.try_submit(reading).unwrap());
/// batcher.close();
/// driver.wait();
/// let [oldest, middle, newest] = replies.map(Wait::wait);
/// assert!(matches!(oldest, Err(BatchError::Dropped)));
/// assert_eq!((middle.unwrap(), newest.unwrap()), (2, 3));
/// assert_eq!(batcher.stats().dropped, 1);
/// # Ok::<(), tidegate_batch_processor::BuildError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnFull {
    /// The caller waits for room; the methods that never wait give the item back.
    #[default]
    Wait,
    /// The item comes back as [`PushError::Full`](crate::PushError::Full), also from the methods
    /// that otherwise wait.
    Reject,
    /// The item is accepted, and the items that have waited longest are dropped until it fits. The
    /// callers of these get [`BatchError::Dropped`](crate::BatchError::Dropped).
    DropOldest,
    /// The item is dropped, and its caller gets
    /// [`BatchError::Dropped`](crate::BatchError::Dropped); a push, which has no result, returns
    /// `Ok`.
    DropNewest,
}
