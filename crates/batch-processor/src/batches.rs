//! A stream of batches, made of a stream of items.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use alloc::{boxed::Box, vec, vec::Vec};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tidegate_core::{BuildError, Timer, Timestamp, time::DueWatch};

use crate::{
    builder::Builder,
    gatherer::{ItemKey, Keys, Refusal, Refused},
    gatherers::Gatherers,
    shared::{SLEEPS, Weigh},
    unwind::{Foreign, shielded},
};

/// Streams that can be taken in batches.
pub trait IntoBatches: Stream + Sized {
    /// Gathers the items into batches, by the sizes, weights, delays, [policy](Builder::policy),
    /// [keys](Builder::keyed), [capacity](Builder::capacity) and clock of these settings. The other
    /// settings of a [`Builder`] have no effect here.
    ///
    /// There is no driver: only a poll of the batches polls the stream of items. So at most one
    /// batch is gathered ahead (with keys, as many as there is [room](Builder::capacity) for).
    ///
    /// # Errors
    ///
    /// [`BuildError`] if a setting is out of its range.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::{pin::pin, task::{Context, Poll, Waker}};
    /// use futures_core::Stream;
    /// use tidegate_batch_processor::{Batcher, IntoBatches};
    /// # struct Numbers(std::ops::Range<u32>);
    /// # impl Stream for Numbers {
    /// #     type Item = u32;
    /// #     fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    /// #         Poll::Ready(self.0.next())
    /// #     }
    /// # }
    ///
    /// let numbers = Numbers(0..5); // a stream of 0, 1, 2, 3 and 4
    /// let mut batches = pin!(numbers.batches(Batcher::builder().max_items(2))?);
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert_eq!(batches.as_mut().poll_next(&mut cx), Poll::Ready(Some(vec![0, 1])));
    /// assert_eq!(batches.as_mut().poll_next(&mut cx), Poll::Ready(Some(vec![2, 3])));
    /// assert_eq!(batches.as_mut().poll_next(&mut cx), Poll::Ready(Some(vec![4])));
    /// assert_eq!(batches.as_mut().poll_next(&mut cx), Poll::Ready(None));
    /// # Ok::<(), tidegate_batch_processor::BuildError>(())
    /// ```
    fn batches<C: Timer>(
        self,
        settings: Builder<Self::Item, C>,
    ) -> Result<Batches<Self, C>, BuildError> {
        let (gatherers, keys, weigh, clock) = settings.into_gatherers()?;
        Ok(Batches {
            stream: self,
            has_ended: false,
            gatherers,
            keys,
            weigh,
            held: None,
            clock,
            sleep: None,
            deadline: None,
            watch: None,
        })
    }
}

impl<S: Stream> IntoBatches for S {}

pin_project! {
    /// Stream of the batches of a stream, made by [`IntoBatches::batches`].
    ///
    /// The items that are left when the inner stream ends are the last batch (with keys, one for
    /// each key). An item that is heavier than a batch may be is a batch of its own, after all
    /// items before it.
    ///
    /// # Cancel safety
    ///
    /// Gathered items stay in this stream, so a poll that is given up, or a timeout around one,
    /// loses nothing. To stop, take the remaining items with
    /// [`into_remainder`](Self::into_remainder).
    #[must_use = "streams do nothing unless polled"]
    pub struct Batches<S, C>
    where
        S: Stream,
        C: Timer,
    {
        #[pin]
        stream: S,
        has_ended: bool,
        gatherers: Gatherers<S::Item, ()>,
        keys: Option<Box<dyn Keys<S::Item>>>,
        weigh: Option<Weigh<S::Item>>,
        // INVARIANT: younger than the items in the gatherers. It stays here while there is no room
        // for it in a batch, or if foreign code panics.
        held: Option<Held<S::Item>>,
        clock: C,
        #[pin]
        sleep: Option<C::Sleep>,
        // When `sleep` ends; `None` without a sleep.
        deadline: Option<Timestamp>,
        // A deadline, and the watch that reads the clock for it now and then while the stream stays
        // ready.
        watch: Option<(Timestamp, DueWatch)>,
    }
}

impl<S, C> Batches<S, C>
where
    S: Stream,
    C: Timer,
{
    /// Returns the stream, and the items that were taken from it and not returned in a batch: in
    /// their order, or with keys, in their order within each key.
    pub fn into_remainder(mut self) -> (S, Vec<S::Item>) {
        self.gatherers.used().abandon();
        let mut items = self.gatherers.used().state_mut().leftovers().into_items();
        items.extend(self.held.take().map(Held::into_item));
        // The rest is foreign. If a destructor of it panics, the items are not lost.
        let Self { stream, clock, sleep, weigh, .. } = self;
        shielded(|| drop(sleep));
        shielded(|| drop(clock));
        shielded(|| drop(weigh));
        (stream, items)
    }

    /// Takes items from the stream until a batch is full or its time has come, the stream is not
    /// ready or has ended, or there is no room. Returns an item that is too heavy for any batch,
    /// once no other item waits; otherwise `None`.
    fn fill(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Option<S::Item> {
        let mut this = self.project();
        // A batch that is due but not full grows while the stream is ready.
        while !this.gatherers.has_full() {
            if this.held.is_none() {
                if *this.has_ended {
                    return None;
                }
                match this.stream.as_mut().poll_next(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(None) => {
                        *this.has_ended = true;
                        this.gatherers.used().close();
                        return None;
                    }
                    Poll::Ready(Some(item)) => {
                        *this.held = Some(Held { item: Foreign::new(item), weight: None });
                    }
                }
            }
            let (keys, weigh) = (this.keys.as_deref(), this.weigh.as_ref());
            match push_held(this.gatherers, keys, weigh, this.held, this.clock) {
                // Checks the time even if the stream is always ready.
                Ok(()) => {
                    let Some(deadline) = this.gatherers.deadline() else { continue };
                    let clock = &*this.clock;
                    let watch = match &mut *this.watch {
                        Some((of, watch)) if *of == deadline => watch,
                        watch => {
                            let now = clock.now();
                            &mut watch.insert((deadline, DueWatch::until(deadline, now))).1
                        }
                    };
                    if watch.is_due(|| clock.now()) {
                        return None;
                    }
                }
                Err(Refusal::TooHeavy) if this.gatherers.waiting() == 0 => {
                    return this.held.take().map(Held::into_item);
                }
                Err(why) => {
                    if why == Refusal::TooHeavy {
                        this.gatherers.used().flush();
                    }
                    // A batch is due now, if only because there is no room.
                    return None;
                }
            }
        }
        None
    }
}

/// An item on its way from the stream into a batch.
struct Held<T> {
    item: Foreign<T>,
    // `None` until the item is weighed.
    weight: Option<usize>,
}

impl<T> Held<T> {
    fn into_item(self) -> T {
        self.item.into_inner()
    }
}

/// Pushes the held item. It stays held if it is refused, or if foreign code panics.
fn push_held<T, C: Timer>(
    gatherers: &mut Gatherers<T, ()>,
    keys: Option<&dyn Keys<T>>,
    weigh: Option<&Weigh<T>>,
    held: &mut Option<Held<T>>,
    clock: &C,
) -> Result<(), Refusal> {
    let Some(Held { item, weight }) = held else { return Ok(()) };
    let weight = *weight.get_or_insert_with(|| weigh.map_or(0, |weigh| weigh(item)));
    let mut key = ItemKey::of(keys, item);
    let mut now = None;
    while let Some(item) = held.take().map(Held::into_item) {
        let pushed = gatherers.push(now, key.found(), item, weight, |pushed| {
            pushed.map(|admitted| admitted.keeps_key)
        });
        match pushed {
            Ok(false) => {}
            Ok(true) => key.keep(),
            Err(Refused { item, why, .. }) => {
                let item = Foreign::new(item);
                let Held { item, .. } = held.insert(Held { item, weight: Some(weight) });
                match why {
                    // The clock is read only for the first item of a batch.
                    Refusal::NoTime => now = Some(clock.now()),
                    Refusal::NoKey => key.claim(item),
                    why => return Err(why),
                }
            }
        }
    }
    Ok(())
}

impl<S, C> Stream for Batches<S, C>
where
    S: Stream,
    C: Timer,
{
    type Item = Vec<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut sleeps = 0;
        loop {
            if let Some(heavy) = self.as_mut().fill(cx) {
                return Poll::Ready(Some(vec![heavy]));
            }
            let mut this = self.as_mut().project();
            let now = this.clock.now();
            let gatherer = this.gatherers.used();
            gatherer.on_timer(now);
            if let Some((id, mut batch)) = gatherer.start(now) {
                // The batch counts as done at once: the caller has it, and asks for the next one
                // when it wants one.
                gatherer.on_done(id, now, 0);
                let unused = gatherer.on_told(id);
                if let (Some(unused), Some(keys)) = (unused, &this.keys) {
                    keys.release(unused);
                }
                return Poll::Ready(Some(batch.take_items()));
            }
            if gatherer.is_over() {
                return Poll::Ready(None);
            }
            let deadline = gatherer.alarm(now);
            if deadline != *this.deadline {
                this.sleep.set(deadline.map(|deadline| this.clock.sleep_until(deadline)));
                *this.deadline = deadline;
            }
            match this.sleep.as_mut().as_pin_mut().map(|sleep| sleep.poll(cx)) {
                None | Some(Poll::Pending) => return Poll::Pending,
                // The time has come: look again.
                Some(Poll::Ready(())) => {
                    this.sleep.set(None);
                    *this.deadline = None;
                    sleeps += 1;
                    if sleeps == SLEEPS {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl<S, C> fmt::Debug for Batches<S, C>
where
    S: Stream,
    C: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("waiting", &self.gatherers.waiting())
            .finish_non_exhaustive()
    }
}
