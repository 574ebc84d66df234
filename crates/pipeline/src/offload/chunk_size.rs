//! How many items make a chunk.

use core::{num::NonZeroUsize, time::Duration};

use tidegate_core::random::Random;

/// How long a chunk should keep a worker busy: long compared with the microseconds that it takes to
/// hand a chunk over and wake a thread, and short compared with what a caller notices.
const TARGET: Duration = Duration::from_micros(100);

/// The largest chunk, unless a window says less.
const MOST: usize = 1024;

/// Learns from finished chunks how large the next should be. It begins with one item, and at most
/// doubles from chunk to chunk; a chunk that takes longer than expected makes the next smaller at
/// once.
#[derive(Debug)]
pub(crate) struct ChunkSize {
    size: usize,
    most: usize,
    /// How many chunks the stage may hold.
    chunks: usize,
}

impl ChunkSize {
    /// Creates it for `n` workers, each with one chunk in work and one that waits.
    pub(crate) fn new(n: NonZeroUsize) -> Self {
        Self { size: 1, most: MOST, chunks: n.get().saturating_mul(2) }
    }

    /// Bounds the items in all chunks together to `window`.
    pub(crate) fn set_window(&mut self, n: NonZeroUsize, window: NonZeroUsize) {
        self.most = (window.get() / n.get().saturating_mul(2)).clamp(1, MOST);
        self.chunks = window.get() / self.most;
    }

    /// Returns how many items to put into the next chunk.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Draws at random how many items to put into the next chunk.
    pub(crate) fn draw(&self, rng: &mut Random) -> usize {
        (1 + rng.below(4)).min(self.most)
    }

    pub(crate) fn chunks(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.chunks).unwrap_or(NonZeroUsize::MIN)
    }

    /// Learns that `items` took `time`.
    pub(crate) fn learn(&mut self, items: usize, time: Duration) {
        let per_item = (time.as_nanos() / items.max(1) as u128).max(1);
        let fitting = usize::try_from(TARGET.as_nanos() / per_item).unwrap_or(MOST).max(1);
        // A chunk that was put before it was full says nothing about larger ones.
        let reach = if items >= self.size { self.size * 2 } else { self.size };
        self.size = fitting.min(reach).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    #[test]
    fn cheap_items_make_chunks_that_double_up_to_the_target() {
        let mut chunk_size = ChunkSize::new(N);
        let sizes = core::array::from_fn::<_, 12, _>(|_| {
            let size = chunk_size.size();
            chunk_size.learn(size, Duration::from_nanos(100 * size as u64));
            size
        });
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000]);
    }

    #[test]
    fn a_slow_chunk_makes_the_next_smaller_at_once() {
        let mut chunk_size = ChunkSize { size: 500, ..ChunkSize::new(N) };
        chunk_size.learn(500, Duration::from_millis(50));
        assert_eq!(chunk_size.size(), 1);
    }

    #[test]
    fn chunks_that_are_not_full_do_not_grow() {
        let mut chunk_size = ChunkSize { size: 4, ..ChunkSize::new(N) };
        chunk_size.learn(2, Duration::ZERO);
        assert_eq!(chunk_size.size(), 4);
    }

    #[test]
    fn sizes_are_drawn_from_one_to_four_or_the_most() {
        let mut rng = Random::new(7);
        for window in [4, 8, 16, 400] {
            let mut chunk_size = ChunkSize::new(N);
            chunk_size.set_window(N, NonZeroUsize::new(window).unwrap());
            let drawn = [(); 100].map(|()| chunk_size.draw(&mut rng));
            let most = (window / 4).min(4);
            assert!((1..=4).all(|size| drawn.contains(&size) == (size <= most)), "{drawn:?}");
        }
    }

    #[test]
    fn no_window_is_exceeded_by_all_chunks_together() {
        for window in 1..100 {
            let mut chunk_size = ChunkSize::new(N);
            chunk_size.set_window(N, NonZeroUsize::new(window).unwrap());
            assert!(chunk_size.most * chunk_size.chunks().get() <= window);
            assert!(chunk_size.chunks().get() >= window.min(4));
        }
    }
}
