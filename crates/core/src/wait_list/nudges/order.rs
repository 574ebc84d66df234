//! An order that gives its first item, and from which any item may be removed: a pairing heap in an
//! arena.
//!
//! After Fredman, Sedgewick, Sleator and Tarjan, "The pairing heap" (1986). To insert an item takes
//! one comparison. To remove one, the first or any other, takes O(log n) comparisons, amortized,
//! for n items. To remove the first and insert it again, as when a ticket is nudged in vain, takes
//! one comparison each time but the first.

use super::{Index, NONE};

/// The place of an item in an [`Order`], and its links.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Smaller places come first; no two are alike.
    pub(super) place: i64,
    /// The parent, for a first child; else the sibling before it.
    pub(super) prev: Index,
    /// The next sibling.
    pub(super) next: Index,
    child: Index,
}

impl Node {
    pub(super) const fn new(place: i64) -> Self {
        Self { place, prev: NONE, next: NONE, child: NONE }
    }
}

/// The order of those items of an arena that were inserted.
pub(super) struct Order {
    // INVARIANT: the first of all items. The children of each item come after it.
    root: Index,
    compared: Compared,
}

impl Order {
    pub(super) fn new() -> Self {
        Self { root: NONE, compared: Compared::default() }
    }

    /// Returns the first item; [`NONE`] if there is none.
    #[inline]
    pub(super) const fn first(&self) -> Index {
        self.root
    }

    /// Adds an item whose node has no links.
    #[inline]
    pub(super) fn insert<T: AsMut<Node>>(&mut self, arena: &mut [T], index: Index) {
        self.root = self.meld(arena, self.root, index);
    }

    /// Removes an item that was inserted.
    #[inline]
    pub(super) fn remove<T: AsMut<Node>>(&mut self, arena: &mut [T], index: Index) {
        let Some(item) = arena.get_mut(index as usize) else { return };
        let Node { prev, next, child, .. } = *item.as_mut();
        let orphans = self.orphans(arena, child);
        if index == self.root {
            self.root = orphans;
            return;
        }
        let before = arena[prev as usize].as_mut();
        if before.child == index {
            before.child = next;
        } else {
            before.next = next;
        }
        if let Some(behind) = arena.get_mut(next as usize) {
            behind.as_mut().prev = prev;
        }
        self.root = self.meld(arena, self.root, orphans);
    }

    /// Makes one tree of the children that a removed item leaves behind.
    #[inline]
    fn orphans<T: AsMut<Node>>(&mut self, arena: &mut [T], first: Index) -> Index {
        let Some(child) = arena.get_mut(first as usize) else { return NONE };
        let child = child.as_mut();
        if child.next != NONE {
            return self.meld_all(arena, first);
        }
        // The usual case: an item that was removed and inserted again has the one child that it was
        // compared with.
        child.prev = NONE;
        first
    }

    /// Makes one tree of two, neither of which has siblings or a parent. Either may be [`NONE`].
    #[inline]
    fn meld<T: AsMut<Node>>(&mut self, arena: &mut [T], one: Index, other: Index) -> Index {
        if one == NONE || other == NONE {
            return if one == NONE { other } else { one };
        }
        self.compared.count();
        let is_before = arena[one as usize].as_mut().place < arena[other as usize].as_mut().place;
        let (parent, child) = if is_before { (one, other) } else { (other, one) };
        let node = arena[parent as usize].as_mut();
        let sibling = core::mem::replace(&mut node.child, child);
        let node = arena[child as usize].as_mut();
        (node.prev, node.next) = (parent, sibling);
        if let Some(sibling) = arena.get_mut(sibling as usize) {
            sibling.as_mut().prev = child;
        }
        parent
    }

    /// Makes one tree of siblings: melds them in pairs, from the first to the last, and then these
    /// pairs, from the last to the first.
    #[cold]
    fn meld_all<T: AsMut<Node>>(&mut self, arena: &mut [T], first: Index) -> Index {
        let (mut rest, mut pairs) = (first, NONE);
        while rest != NONE {
            let one = rest;
            let other = Self::cut(arena, one);
            rest = if other == NONE { NONE } else { Self::cut(arena, other) };
            let pair = self.meld(arena, one, other);
            arena[pair as usize].as_mut().next = pairs;
            pairs = pair;
        }
        let mut all = NONE;
        while pairs != NONE {
            let pair = pairs;
            pairs = Self::cut(arena, pair);
            all = self.meld(arena, all, pair);
        }
        all
    }

    /// Takes a tree away from its siblings and its parent; returns the next sibling.
    fn cut<T: AsMut<Node>>(arena: &mut [T], index: Index) -> Index {
        let node = arena[index as usize].as_mut();
        node.prev = NONE;
        core::mem::replace(&mut node.next, NONE)
    }
}

/// How many comparisons were made, counted only in tests.
#[derive(Default)]
struct Compared(#[cfg(test)] u64);

impl Compared {
    #[cfg(not(test))]
    const fn count(&mut self) {}

    #[cfg(test)]
    const fn count(&mut self) {
        self.0 += 1;
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "a few thousand")]
mod tests {
    use alloc::{collections::BTreeSet, vec::Vec};

    use super::*;
    use crate::random::Random;

    impl AsMut<Node> for Node {
        fn as_mut(&mut self) -> &mut Node {
            self
        }
    }

    fn arena(n: usize) -> Vec<Node> {
        (0..n).map(|place| Node::new(place as i64)).collect()
    }

    #[test]
    fn the_first_is_the_least_whoever_joins_and_leaves() {
        let (mut order, mut nodes, mut there) = (Order::new(), arena(40), BTreeSet::new());
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let index = random.below(nodes.len()) as Index;
            if there.insert(index) {
                nodes[index as usize] = Node::new(i64::from(index));
                order.insert(&mut nodes, index);
            } else {
                let leaves = if random.is_one_in(2) { index } else { order.first() };
                there.remove(&leaves);
                order.remove(&mut nodes, leaves);
            }
            assert_eq!(order.first(), there.first().copied().unwrap_or(NONE));
        }
    }

    /// Returns how many comparisons, divided by `n`, it takes to insert `n` items and run the
    /// scene.
    fn comparisons(n: usize, scene: impl Fn(&mut Order, &mut [Node])) -> f64 {
        let (mut order, mut nodes) = (Order::new(), arena(n));
        for index in 0..n {
            order.insert(&mut nodes, index as Index);
        }
        scene(&mut order, &mut nodes);
        order.compared.0 as f64 / n as f64
    }

    fn grows_as_the_logarithm(scene: impl Fn(&mut Order, &mut [Node])) {
        let [few, many] = [1_000, 16_000].map(|n| comparisons(n, &scene));
        assert!(many < 2.0 * few, "{few} comparisons each, and {many} among sixteen times as many");
    }

    #[test]
    fn to_take_all_out_compares_as_the_logarithm() {
        grows_as_the_logarithm(|order, nodes| {
            while order.first() != NONE {
                order.remove(nodes, order.first());
            }
        });
    }

    #[test]
    fn to_come_back_in_any_order_compares_as_the_logarithm() {
        grows_as_the_logarithm(|order, nodes| {
            let mut random = Random::new(3);
            for _ in 0..3 {
                let mut out = Vec::new();
                while order.first() != NONE {
                    out.push(order.first());
                    order.remove(nodes, order.first());
                }
                for at in (1..out.len()).rev() {
                    out.swap(at, random.below(at));
                }
                for index in out {
                    nodes[index as usize] = Node::new(i64::from(index));
                    order.insert(nodes, index);
                }
            }
        });
    }

    #[test]
    fn to_leave_from_anywhere_compares_as_the_logarithm() {
        grows_as_the_logarithm(|order, nodes| {
            let n = nodes.len();
            for at in 0..n {
                // Each item leaves once, as the factor and the number of items have no common
                // divisor.
                order.remove(nodes, (at * 7_919 % n) as Index);
            }
            assert_eq!(order.first(), NONE);
        });
    }

    #[test]
    fn the_first_that_comes_back_first_compares_once() {
        let each = comparisons(1_000, |order, nodes| {
            for _ in 0..100_000 {
                let first = order.first();
                order.remove(nodes, first);
                nodes[first as usize] = Node::new(i64::from(first));
                order.insert(nodes, first);
            }
        });
        assert!(each < 110.0, "{each} comparisons for a hundred times");
    }
}
