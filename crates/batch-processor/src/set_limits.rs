//! Other sizes and delays while a batcher is used.

use core::time::Duration;

use tidegate_core::{BuildError, Timer};

use crate::{batcher::Batcher, handler::Handler, leader::LeaderBatcher, limits::Limits};

impl<T, R, E, C> Batcher<T, R, E, C> {
    /// Changes the number of items in a batch while the batcher is used: see
    /// [`Builder::max_items`](crate::Builder::max_items).
    ///
    /// A batch that gathers is judged by the new number at once: if it has as many items, or more,
    /// it is due, and gets no more. A batch that was full before stays as it is, also if it is
    /// larger than the new number. Without a [`capacity`](crate::Builder::capacity) of its own, the
    /// batcher has room for ten batches of the new size. If more items wait than there is room for,
    /// none of them is lost, and none is let in until enough have left.
    ///
    /// With [keys](crate::Builder::keyed), all keys have the new number. The change then visits
    /// each key that is in use, under the lock that pushes take; without keys it is one short
    /// critical section. This holds for the other changes, too.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `items` is 0, less than the `min` of
    /// [`Policy::Balanced`](crate::Policy::Balanced), or more than a capacity that was set; then
    /// nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder()
    ///     .max_delay(Duration::MAX)
    ///     .build_on_thread(|rows: Vec<u32>| Ok::<_, ()>(vec![rows.len(); rows.len()]))?;
    /// let replies = [1, 2].map(|row| batcher.try_submit(row).unwrap());
    /// batcher.set_max_items(2)?; // reached: the batch is handed over
    /// assert_eq!(replies.map(|reply| reply.wait().unwrap()), [2, 2]);
    /// assert_eq!(
    ///     batcher.set_max_items(0).unwrap_err().to_string(),
    ///     "max_items is 0, but must be at least 1",
    /// );
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn set_max_items(&self, items: usize) -> Result<(), BuildError> {
        self.shared().set_limits(|limits| limits.with_max_items(items))
    }

    /// Changes for how long the first item of a batch waits at most, while the batcher is used: see
    /// [`Builder::max_delay`](crate::Builder::max_delay).
    ///
    /// A batch that gathers gets a new deadline, which counts from its first item as before. If
    /// that is over already, the batch is due at once. If it is later than the old one, the batch
    /// goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_batch_processor::{Batcher, Wait};
    ///
    /// let (batcher, driver) = Batcher::builder()
    ///     .max_delay(Duration::from_secs(3600))
    ///     .build_on_thread(|rows: Vec<u32>| Ok::<_, ()>(rows))?;
    /// let reply = batcher.try_submit(7).unwrap();
    /// batcher.set_max_delay(Duration::from_millis(1));
    /// assert_eq!(reply.wait().unwrap(), 7);
    /// # drop(batcher);
    /// # driver.join();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn set_max_delay(&self, delay: Duration) {
        // No delay is out of range.
        _ = self.shared().set_limits(|limits| Ok(Limits { max_delay: delay, ..limits }));
    }

    /// Changes the weight of a batch while the batcher is used: see
    /// [`Builder::max_weight`](crate::Builder::max_weight). The function that weighs items stays.
    ///
    /// A batch that gathers and weighs as much, or more, is due, and gets no more items. One that
    /// was full before stays as it is. A caller that waits for room for an item that is now too
    /// heavy gets it back as [`PushError::TooHeavy`](crate::PushError::TooHeavy). The weight of all
    /// items that may wait changes in proportion.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `weight` is 0, or items are not weighed; then nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, PushError};
    ///
    /// let (batcher, _driver) = Batcher::builder()
    ///     .max_weight(9, |text: &&str| text.len())
    ///     .build(|texts: Vec<&str>| Ok::<_, ()>(texts))?;
    /// batcher.set_max_weight(3)?;
    /// assert_eq!(batcher.try_push("1234"), Err(PushError::TooHeavy("1234")));
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn set_max_weight(&self, weight: usize) -> Result<(), BuildError> {
        if !self.shared().weighs() {
            let range = "left out for items that are not weighed";
            return Err(BuildError::new("max_weight", weight, range));
        }
        self.shared().set_limits(|limits| Limits { max_weight: weight, ..limits }.checked())
    }

    /// Changes how many items may wait to be handed over, while the batcher is used: see
    /// [`Builder::capacity`](crate::Builder::capacity).
    ///
    /// Callers that wait for room get the room that is added. If more items wait than may, none of
    /// them is lost, and none is let in until enough have left; with
    /// [`OnFull::DropOldest`](crate::OnFull::DropOldest), the next item that comes drops those that
    /// are too many.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if `items` is less than [`max_items`](crate::Builder::max_items) is now; then
    /// nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_batch_processor::{Batcher, PushError};
    ///
    /// let builder = Batcher::builder().max_items(1).capacity(1);
    /// let (batcher, _driver) = builder.build(|n: Vec<u8>| Ok::<_, ()>(n))?;
    /// batcher.try_push(1).unwrap();
    /// assert_eq!(batcher.try_push(2), Err(PushError::Full(2)));
    /// batcher.set_capacity(2)?;
    /// batcher.try_push(2).unwrap();
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    pub fn set_capacity(&self, items: usize) -> Result<(), BuildError> {
        self.shared()
            .set_limits(|limits| Limits { asked_capacity: Some(items), ..limits }.checked())
    }
}

impl<T, H: Handler<T>, C: Timer> LeaderBatcher<T, H, C> {
    /// Does what [`Batcher::set_max_items`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_max_items(&self, items: usize) -> Result<(), BuildError> {
        self.batcher().set_max_items(items)
    }

    /// Does what [`Batcher::set_max_delay`] does.
    pub fn set_max_delay(&self, delay: Duration) {
        self.batcher().set_max_delay(delay);
    }

    /// Does what [`Batcher::set_max_weight`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_max_weight(&self, weight: usize) -> Result<(), BuildError> {
        self.batcher().set_max_weight(weight)
    }

    /// Does what [`Batcher::set_capacity`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn set_capacity(&self, items: usize) -> Result<(), BuildError> {
        self.batcher().set_capacity(items)
    }
}
