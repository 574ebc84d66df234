//! What is left to crawl, and when there is nothing left.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate::Queue;

use crate::record::Target;

/// Addresses on their way into the flow, and the count that says when the flow is over.
///
/// The flow feeds itself: a page puts its links at the start. It is over when nothing is in it and
/// nothing may go in, and only the frontier knows both.
#[derive(Debug)]
pub struct Frontier {
    queue: Arc<Queue<Target>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Known and not yet in the flow, oldest first.
    backlog: VecDeque<Target>,
    /// In the queue or in the flow.
    in_flow: usize,
    /// Pages that may still be stored; those in the flow may each become one.
    budget: usize,
}

/// What became of an address that leaves the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is a page, and counts.
    Stored,
    /// There is no page.
    Without,
}

impl Frontier {
    /// A frontier of these addresses, of which at most `budget` may become pages.
    pub fn new(pending: Vec<Target>, budget: Option<usize>) -> Self {
        let state =
            State { backlog: pending.into(), in_flow: 0, budget: budget.unwrap_or(usize::MAX) };
        let frontier = Self { queue: Arc::new(Queue::unbounded()), state: Mutex::new(state) };
        frontier.feed(frontier.state());
        frontier
    }

    /// Where the flow reads from. It is closed when the crawl is over.
    pub fn queue(&self) -> &Arc<Queue<Target>> {
        &self.queue
    }

    /// A page in the flow has led to these addresses.
    pub fn extend(&self, found: impl IntoIterator<Item = Target>) {
        let mut state = self.state();
        state.backlog.extend(found);
        self.feed(state);
    }

    /// An address has left the flow.
    pub fn leave(&self, left: Left) {
        let mut state = self.state();
        state.in_flow -= 1;
        state.budget -= usize::from(left == Left::Stored);
        self.feed(state);
    }

    /// How many addresses are known and not begun.
    pub fn waiting(&self) -> usize {
        self.state().backlog.len() + self.queue.len()
    }

    fn feed(&self, mut state: MutexGuard<'_, State>) {
        while state.in_flow < state.budget {
            let Some(target) = state.backlog.pop_front() else { break };
            state.in_flow += 1;
            self.queue.try_push(target).expect("nobody else closes an unbounded queue");
        }
        if state.in_flow == 0 {
            self.queue.close();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tidegate::ground::queue::TryPopError;

    use super::*;

    fn target(n: usize) -> Target {
        Target::new(format!("http://a.test/{n}"), 0)
    }

    fn pop(frontier: &Frontier) -> Result<String, TryPopError> {
        frontier.queue().try_pop().map(|target| target.url)
    }

    #[test]
    fn it_ends_when_nothing_is_in_the_flow() {
        let frontier = Frontier::new(vec![target(1)], None);
        assert!(pop(&frontier).is_ok());
        frontier.extend([target(2)]);
        frontier.leave(Left::Stored);
        assert_eq!(pop(&frontier), Ok("http://a.test/2".to_owned()));
        assert_eq!(pop(&frontier), Err(TryPopError::Empty));
        frontier.leave(Left::Without);
        assert_eq!(pop(&frontier), Err(TryPopError::Closed));
    }

    #[test]
    fn no_more_pages_than_the_budget() {
        let frontier = Frontier::new((0..5).map(target).collect(), Some(2));
        assert_eq!((pop(&frontier).is_ok(), pop(&frontier).is_ok()), (true, true));
        assert_eq!(pop(&frontier), Err(TryPopError::Empty));
        // What is no page leaves its place to another.
        frontier.leave(Left::Without);
        assert!(pop(&frontier).is_ok());
        frontier.leave(Left::Stored);
        frontier.leave(Left::Stored);
        assert_eq!(pop(&frontier), Err(TryPopError::Closed));
        assert_eq!(frontier.waiting(), 2);
    }

    #[test]
    fn nothing_to_crawl_is_the_end() {
        assert_eq!(pop(&Frontier::new(vec![], None)), Err(TryPopError::Closed));
    }
}
