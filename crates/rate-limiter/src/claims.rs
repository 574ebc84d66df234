//! The reservations of a token bucket.

use alloc::vec::Vec;

use tidegate_core::Timestamp;

use crate::bucket_math::BucketMath;

/// Tokens that are reserved for a time.
#[derive(Debug, Clone, Copy)]
struct Claim {
    id: u64,
    tokens: u32,
    ready_at: Timestamp,
    /// `ready_at` in units.
    units: i64,
    /// The claim was cancelled, or its tokens were taken at its time. The slot is reused later.
    is_gone: bool,
}

/// The claims of a bucket, in the order of their times.
///
/// A search tree over their sums. The number of steps to add or remove a claim, or to find what a
/// bucket must hold for all claims, grows with the logarithm of their number.
#[derive(Debug)]
pub(crate) struct Claims {
    // INVARIANT: ascending in `id` and in `units`.
    claims: Vec<Claim>,
    // INVARIANT: an implicit binary tree. Its leaves are `claims`, filled up with `Node::NOTHING`
    // to a power of two; each inner node is the effect of its two children, the left one first.
    tree: Vec<Node>,
    /// All claims before this index are gone.
    first: usize,
    live: usize,
}

/// The effect of consecutive claims on a bucket.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The price of all these claims.
    price: i64,
    /// The number, after these claims, of a bucket that was full until the first of them.
    peak: i64,
    /// The largest number that a bucket may have before these claims and still serve all of them.
    max_before: i64,
}

impl Node {
    const NOTHING: Self = Self { price: 0, peak: i64::MIN, max_before: i64::MAX };

    fn then(self, next: Self) -> Self {
        Self {
            price: self.price.saturating_add(next.price),
            peak: self.peak.saturating_add(next.price).max(next.peak),
            max_before: self.max_before.min(next.max_before.saturating_sub(self.price)),
        }
    }

    /// Returns the number, after these claims, of a bucket that is at `full_at` before them.
    fn after(self, full_at: i64) -> i64 {
        full_at.saturating_add(self.price).max(self.peak)
    }
}

impl Claim {
    fn node(&self, math: &BucketMath) -> Node {
        let price = signed(math.price(self.tokens));
        let depth = signed(math.depth);
        Node {
            price,
            peak: self.units.saturating_add(price),
            max_before: self.units.saturating_add(depth).saturating_sub(price),
        }
    }
}

pub(crate) fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(units: i64) -> u64 {
    u64::try_from(units).unwrap_or(0)
}

/// The fewest leaves.
const MIN_LEAVES: usize = 4;

impl Claims {
    pub(crate) fn new() -> Self {
        let tree = Vec::new();
        Self { claims: Vec::new(), tree, first: 0, live: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Returns the number, after all claims, of a bucket that is at `full_at` before them.
    pub(crate) fn after(&self, full_at: u64) -> u64 {
        unsigned(self.all().after(signed(full_at)))
    }

    /// Returns the largest number with which a bucket can still serve all claims, or zero.
    pub(crate) fn max_before(&self) -> u64 {
        unsigned(self.all().max_before)
    }

    fn all(&self) -> Node {
        self.tree.get(1).copied().unwrap_or(Node::NOTHING)
    }

    /// Reserves `n` tokens at `units`, or at the time of the last claim if that is later. Returns
    /// the time.
    pub(crate) fn push(&mut self, math: &BucketMath, id: u64, n: u32, units: u64) -> Timestamp {
        while self.claims.last().is_some_and(|claim| claim.is_gone) {
            self.claims.pop();
        }
        self.first = self.first.min(self.claims.len());
        let latest = self.claims.last().map_or(0, |claim| claim.units);
        let units = signed(units).max(latest);
        let ready_at = math.time(unsigned(units));
        if self.claims.len() * 2 == self.tree.len() {
            self.rebuild(math);
        }
        let claim = Claim { id, tokens: n, ready_at, units, is_gone: false };
        self.claims.push(claim);
        self.live += 1;
        self.set(self.claims.len() - 1, claim.node(math));
        ready_at
    }

    /// Removes a claim. Returns whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let found = self.claims.binary_search_by_key(&id, |claim| claim.id);
        let index = found.ok().filter(|index| !self.claims[*index].is_gone);
        index.inspect(|index| self.clear(*index)).is_some()
    }

    /// Takes the claims that are due at `present` out of a bucket at `full_at`. Returns the new
    /// number.
    pub(crate) fn settle(&mut self, present: u64, full_at: u64) -> u64 {
        let mut full_at = signed(full_at);
        while let Some(claim) = self.claims.get(self.first) {
            if !claim.is_gone && claim.units > signed(present) {
                break;
            }
            if !claim.is_gone {
                full_at = self.tree[self.tree.len() / 2 + self.first].after(full_at);
                self.clear(self.first);
            }
            self.first += 1;
        }
        unsigned(full_at)
    }

    /// Returns when, in units, a bucket at `full_at` has `price` units for a newcomer beside all
    /// claims, or an earlier time if the exact one takes long to find. The caller has settled the
    /// claims that are due at `present`.
    pub(crate) fn ready_at(
        &self,
        math: &BucketMath,
        full_at: u64,
        price: u64,
        present: u64,
    ) -> u64 {
        let (price, depth) = (signed(price), signed(math.depth));
        let mut before = Node::NOTHING;
        let mut time = signed(present);
        for _ in 0..MIN_LEAVES {
            let full_at = before.after(signed(full_at));
            let next = full_at.max(time).saturating_add(price);
            time = time.max(next.saturating_sub(depth));
            // `last_tight` expects a number before all claims, so the price of those passed is
            // subtracted.
            let Some(passed) = self.last_tight(next.saturating_sub(before.price)) else { break };
            before = passed;
        }
        let full_at = before.after(signed(full_at));
        unsigned(time.max(full_at.saturating_add(price).saturating_sub(depth)))
    }

    /// Returns the effect of all claims up to the last one that a bucket at `full_at` cannot serve
    /// once it has served those before it; `None` if it serves all.
    fn last_tight(&self, full_at: i64) -> Option<Node> {
        if self.all().max_before >= full_at {
            return None;
        }
        let mut before = Node::NOTHING;
        let mut index = 1;
        while index < self.tree.len() / 2 {
            count_step();
            let (left, right) = (self.tree[2 * index], self.tree[2 * index + 1]);
            let to_the_right = before.then(left);
            if right.max_before.saturating_sub(to_the_right.price) < full_at {
                before = to_the_right;
                index = 2 * index + 1;
            } else {
                index *= 2;
            }
        }
        Some(before.then(self.tree[index]))
    }

    /// Converts all claims to another quota.
    pub(crate) fn convert(&mut self, math: &BucketMath) {
        for claim in &mut self.claims {
            claim.units = signed(math.present(claim.ready_at));
        }
        self.rebuild(math);
    }

    fn clear(&mut self, index: usize) {
        self.claims[index].is_gone = true;
        self.live -= 1;
        self.set(index, Node::NOTHING);
    }

    fn set(&mut self, index: usize, node: Node) {
        let mut index = self.tree.len() / 2 + index;
        self.tree[index] = node;
        while index > 1 {
            count_step();
            index /= 2;
            self.tree[index] = self.tree[2 * index].then(self.tree[2 * index + 1]);
        }
    }

    /// Drops the claims that are gone, and leaves room for at least as many again. That costs a
    /// constant number of steps per pushed claim on average, as the room must be used up first.
    fn rebuild(&mut self, math: &BucketMath) {
        self.claims.retain(|claim| !claim.is_gone);
        self.first = 0;
        let leaves = (2 * self.claims.len()).next_power_of_two().max(MIN_LEAVES);
        self.tree.clear();
        self.tree.resize(2 * leaves, Node::NOTHING);
        for (index, claim) in self.claims.iter().enumerate() {
            count_step();
            self.tree[leaves + index] = claim.node(math);
        }
        for index in (1..leaves).rev() {
            count_step();
            self.tree[index] = self.tree[2 * index].then(self.tree[2 * index + 1]);
        }
    }
}

#[cfg(test)]
use self::tests::count_step;

/// Counts a step, in tests.
#[cfg(not(test))]
const fn count_step() {}

#[cfg(test)]
mod tests {
    use core::{cell::Cell, time::Duration};
    use std::thread_local;

    use super::Claims;
    use crate::{bucket_math::BucketMath, quota::Quota};

    thread_local! { static STEPS: Cell<usize> = const { Cell::new(0) }; }

    pub(super) fn count_step() {
        STEPS.set(STEPS.get() + 1);
    }

    fn math(burst: u32) -> BucketMath {
        let quota = Quota::every(Duration::from_nanos(10)).burst(burst);
        quota.fine_math()
    }

    /// Returns the steps of `n` reservations, and of as many cancels in mixed order.
    fn steps(n: usize) -> (usize, usize) {
        let math = math(1);
        let mut claims = Claims::new();
        for id in 0..n as u64 {
            claims.push(&math, id, 1, 10 * id);
        }
        let pushed = STEPS.take();
        for id in 0..n {
            assert!(claims.remove((id * 7919 % n) as u64));
        }
        assert!(claims.is_empty());
        (pushed, STEPS.take())
    }

    #[test]
    fn a_claim_costs_the_logarithm_of_their_number() {
        let (few, many) = (steps(512), steps(16 * 512));
        // A claim passes four levels more.
        assert!(many.0 / 16 <= few.0 + 512 * 8, "{few:?} {many:?}");
        assert!(many.1 / 16 <= few.1 + 512 * 8, "{few:?} {many:?}");
    }

    #[test]
    fn a_claim_in_the_place_of_another_costs_no_more() {
        for n in [254, 255, 256, 257, 258] {
            let math = math(1);
            let mut claims = Claims::new();
            for id in 0..n {
                claims.push(&math, id, 1, 10 * id);
            }
            STEPS.take();
            for id in n..4 * n {
                assert!(claims.remove(id - n));
                claims.push(&math, id, 1, 10 * id);
            }
            // Twice the levels, and a constant for the growth.
            assert!(STEPS.take() as u64 <= 3 * n * (2 * 10 + 8));
        }
    }

    #[test]
    fn a_newcomers_time_costs_the_logarithm_of_their_number() {
        let steps = |n: u64| {
            let math = math(1);
            let mut claims = Claims::new();
            for id in 0..n {
                claims.push(&math, id, 1, 10 * id);
            }
            STEPS.take();
            // The claims are back to back, so the time is after the last of them.
            assert_eq!(claims.ready_at(&math, 0, 10, 0), 10 * n);
            STEPS.take()
        };
        assert!(steps(16 * 512) <= steps(512) + 32);
    }

    #[test]
    fn claims_that_are_gone_take_no_slots() {
        let math = math(1);
        let mut claims = Claims::new();
        claims.push(&math, 0, 1, 0);
        for id in 1..1000 {
            claims.push(&math, id, 1, 10 * id);
            // One of them is always there, and it is not the first.
            assert!(claims.remove(id - 1));
            assert!(claims.claims.len() <= 8, "{} slots", claims.claims.len());
        }
    }

    #[test]
    fn what_is_taken_beside_claims_breaks_no_promise() {
        let math = math(3);
        let mut claims = Claims::new();
        claims.push(&math, 0, 3, 100);
        claims.push(&math, 1, 1, 200);
        // At 100 a claim takes all three tokens of the burst, so the bucket must be full by then.
        assert_eq!(claims.max_before(), 100);
        assert_eq!(claims.after(0), 210);
        assert_eq!(claims.ready_at(&math, 80, 20, 70), 70);
        // A request that does not fit before the first claim fits after it.
        assert_eq!(claims.ready_at(&math, 90, 20, 70), 120);
        // It fits exactly before the second claim, or only after it.
        assert_eq!(claims.ready_at(&math, 180, 10, 70), 190);
        assert_eq!(claims.ready_at(&math, 200, 10, 70), 220);
        assert_eq!(claims.settle(100, 90), 130);
        assert!(claims.remove(1) && !claims.remove(1) && !claims.remove(0));
        assert!(claims.is_empty());
    }
}
