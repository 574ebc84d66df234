//! What was promised for later.

use alloc::vec::Vec;

use tidegate_core::Timestamp;

use crate::terms::Terms;

/// Tokens that were promised for a time.
#[derive(Debug, Clone, Copy)]
struct Claim {
    id: u64,
    tokens: u32,
    ready_at: Timestamp,
    /// The same in units.
    units: i64,
}

/// The claims of a bucket, in the order of their times.
///
/// A search tree over their sums: adding, removing, and what a bucket may hold beside all of them take as many steps as the
/// logarithm of their number.
#[derive(Debug)]
pub(crate) struct Claims {
    // INVARIANT: ascending in `id` and in `units`; `None` in a place whose claim is gone.
    claims: Vec<Place>,
    // INVARIANT: an implicit binary tree, whose leaves are `claims` and as many of nothing as make a power of two; each
    // inner node is what its two children are one after the other.
    tree: Vec<Node>,
    /// The first place whose claim may be there.
    first: usize,
    live: usize,
    steps: Steps,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    claim: Claim,
    is_gone: bool,
}

/// What a run of claims does to a bucket that comes to them.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The price of all of them.
    price: i64,
    /// The number of a bucket behind them that came to them full.
    peak: i64,
    /// The largest number a bucket may have before them.
    room: i64,
}

impl Node {
    const NOTHING: Self = Self { price: 0, peak: i64::MIN, room: i64::MAX };

    fn then(self, next: Self) -> Self {
        Self {
            price: self.price.saturating_add(next.price),
            peak: self.peak.saturating_add(next.price).max(next.peak),
            room: self.room.min(next.room.saturating_sub(self.price)),
        }
    }

    /// Returns the number of a bucket behind them that comes to them with `full_at`.
    fn after(self, full_at: i64) -> i64 {
        full_at.saturating_add(self.price).max(self.peak)
    }
}

impl Claim {
    fn node(&self, terms: &Terms) -> Node {
        let price = signed(terms.price(self.tokens));
        let depth = signed(terms.depth);
        Node {
            price,
            peak: self.units.saturating_add(price),
            room: self.units.saturating_add(depth).saturating_sub(price),
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
const FEW: usize = 4;

impl Claims {
    pub(crate) fn new() -> Self {
        let tree = Vec::new();
        Self { claims: Vec::new(), tree, first: 0, live: 0, steps: Steps::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Returns the number of a bucket behind all claims that is at `full_at` before them.
    pub(crate) fn after(&self, full_at: u64) -> u64 {
        unsigned(self.all().after(signed(full_at)))
    }

    /// Returns the largest number a bucket may have before all claims without breaking a promise; zero if there is none.
    pub(crate) fn room(&self) -> u64 {
        unsigned(self.all().room)
    }

    fn all(&self) -> Node {
        self.tree.get(1).copied().unwrap_or(Node::NOTHING)
    }

    /// Promises `tokens`, no earlier than everything that was promised before; returns when.
    pub(crate) fn push(&mut self, terms: &Terms, id: u64, tokens: u32, units: u64) -> Timestamp {
        while self.claims.last().is_some_and(|place| place.is_gone) {
            self.claims.pop();
        }
        self.first = self.first.min(self.claims.len());
        let latest = self.claims.last().map_or(0, |place| place.claim.units);
        let units = signed(units).max(latest);
        let ready_at = terms.time(unsigned(units));
        if self.claims.len() * 2 == self.tree.len() {
            self.rebuild(terms);
        }
        let claim = Claim { id, tokens, ready_at, units };
        self.claims.push(Place { claim, is_gone: false });
        self.live += 1;
        self.set(self.claims.len() - 1, claim.node(terms));
        ready_at
    }

    /// Takes a claim back; returns whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let found = self.claims.binary_search_by_key(&id, |place| place.claim.id);
        let index = found.ok().filter(|index| !self.claims[*index].is_gone);
        index.inspect(|index| self.clear(*index)).is_some()
    }

    /// Takes those that are due at `present` out of a bucket that is at `full_at`; returns where it is then.
    pub(crate) fn settle(&mut self, present: u64, full_at: u64) -> u64 {
        let mut full_at = signed(full_at);
        while let Some(place) = self.claims.get(self.first) {
            let is_gone = place.is_gone;
            if !is_gone && place.claim.units > signed(present) {
                break;
            }
            if !is_gone {
                full_at = self.tree[self.tree.len() / 2 + self.first].after(full_at);
                self.clear(self.first);
            }
            self.first += 1;
        }
        unsigned(full_at)
    }

    /// Returns the time in units at which a bucket that is at `full_at` has `price` for a newcomer, without breaking a promise;
    /// an earlier one if that takes long to find out. Claims are not due at `present`.
    pub(crate) fn ready_at(&self, terms: &Terms, full_at: u64, price: u64, present: u64) -> u64 {
        let (price, depth) = (signed(price), signed(terms.depth));
        let mut before = Node::NOTHING;
        let mut time = signed(present);
        for _ in 0..FEW {
            let full_at = before.after(signed(full_at));
            let next = full_at.max(time).saturating_add(price);
            time = time.max(next.saturating_sub(depth));
            // Relative to those that have been passed.
            let Some((index, passed)) = self.last_narrow(next.saturating_sub(before.price)) else {
                break;
            };
            time = time.max(self.claims[index].claim.units);
            before = passed;
        }
        let full_at = before.after(signed(full_at));
        unsigned(time.max(full_at.saturating_add(price).saturating_sub(depth)))
    }

    /// Finds the last claim before which a bucket may not be at `full_at` and the price of those before it; also returns
    /// what all up to that one do.
    fn last_narrow(&self, full_at: i64) -> Option<(usize, Node)> {
        if self.all().room >= full_at {
            return None;
        }
        let mut before = Node::NOTHING;
        let mut index = 1;
        while index < self.tree.len() / 2 {
            self.steps.count();
            let (left, right) = (self.tree[2 * index], self.tree[2 * index + 1]);
            let to_the_right = before.then(left);
            if right.room.saturating_sub(to_the_right.price) < full_at {
                before = to_the_right;
                index = 2 * index + 1;
            } else {
                index *= 2;
            }
        }
        let leaf = index - self.tree.len() / 2;
        Some((leaf, before.then(self.tree[index])))
    }

    /// Counts by other terms.
    pub(crate) fn convert(&mut self, terms: &Terms) {
        for place in &mut self.claims {
            place.claim.units = signed(terms.present(place.claim.ready_at));
        }
        self.rebuild(terms);
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
            self.steps.count();
            index /= 2;
            self.tree[index] = self.tree[2 * index].then(self.tree[2 * index + 1]);
        }
    }

    /// Makes room for as many claims more as there are: after as many steps as that, so each costs a constant.
    fn rebuild(&mut self, terms: &Terms) {
        self.claims.retain(|place| !place.is_gone);
        self.first = 0;
        let leaves = (2 * self.claims.len()).next_power_of_two().max(FEW);
        self.tree.clear();
        self.tree.resize(2 * leaves, Node::NOTHING);
        for (index, place) in self.claims.iter().enumerate() {
            self.steps.count();
            self.tree[leaves + index] = place.claim.node(terms);
        }
        for index in (1..leaves).rev() {
            self.steps.count();
            self.tree[index] = self.tree[2 * index].then(self.tree[2 * index + 1]);
        }
    }
}

/// How many nodes were looked at; for tests.
#[cfg(not(test))]
#[derive(Debug)]
struct Steps;

#[cfg(not(test))]
impl Steps {
    const fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "the other one counts")]
    const fn count(&self) {}
}

#[cfg(test)]
#[derive(Debug)]
struct Steps(core::cell::Cell<usize>);

#[cfg(test)]
impl Steps {
    const fn new() -> Self {
        Self(core::cell::Cell::new(0))
    }

    fn count(&self) {
        self.0.set(self.0.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::Claims;
    use crate::{quota::Quota, terms::Terms};

    fn terms(burst: u32) -> Terms {
        let quota = Quota::every(Duration::from_nanos(10)).and_then(|quota| quota.burst(burst));
        quota.unwrap().fine_terms()
    }

    /// Steps of as many reservations, and then of as many cancels in no order.
    fn steps(n: usize) -> (usize, usize) {
        let terms = terms(1);
        let mut claims = Claims::new();
        for id in 0..n as u64 {
            claims.push(&terms, id, 1, 10 * id);
        }
        let pushed = claims.steps.0.take();
        for id in 0..n {
            assert!(claims.remove((id * 7919 % n) as u64));
        }
        assert!(claims.is_empty());
        (pushed, claims.steps.0.take())
    }

    #[test]
    fn a_claim_costs_the_logarithm_of_their_number() {
        let (few, many) = (steps(512), steps(16 * 512));
        // Per claim: four levels more.
        assert!(many.0 / 16 <= few.0 + 512 * 8, "{few:?} {many:?}");
        assert!(many.1 / 16 <= few.1 + 512 * 8, "{few:?} {many:?}");
    }

    #[test]
    fn a_newcomers_time_costs_the_logarithm_of_their_number() {
        let steps = |n: u64| {
            let terms = terms(1);
            let mut claims = Claims::new();
            for id in 0..n {
                claims.push(&terms, id, 1, 10 * id);
            }
            claims.steps.0.take();
            // Back to back: behind the last of them.
            assert_eq!(claims.ready_at(&terms, 0, 10, 0), 10 * n);
            claims.steps.0.take()
        };
        assert!(steps(16 * 512) <= steps(512) + 32);
    }

    #[test]
    fn claims_that_are_gone_take_no_room() {
        let terms = terms(1);
        let mut claims = Claims::new();
        claims.push(&terms, 0, 1, 0);
        for id in 1..1000 {
            claims.push(&terms, id, 1, 10 * id);
            // One of them is always there, and it is not the first.
            assert!(claims.remove(id - 1));
            assert!(claims.claims.len() <= 8, "{} places", claims.claims.len());
        }
    }

    #[test]
    fn what_is_taken_beside_claims_breaks_no_promise() {
        let terms = terms(3);
        let mut claims = Claims::new();
        claims.push(&terms, 0, 3, 100);
        claims.push(&terms, 1, 1, 200);
        // At 100 all three are taken: before, a bucket must be full by then.
        assert_eq!(claims.room(), 100);
        assert_eq!(claims.after(0), 210);
        assert_eq!(claims.ready_at(&terms, 80, 20, 70), 70);
        // One that does not fit before the first fits behind it.
        assert_eq!(claims.ready_at(&terms, 90, 20, 70), 120);
        assert_eq!(claims.settle(100, 90), 130);
        assert!(claims.remove(1) && !claims.remove(1) && !claims.remove(0));
        assert!(claims.is_empty());
    }
}
