//! What is left to crawl, and when there is nothing left.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate::Queue;

use crate::record::Target;

/// Addresses on their way into the flow, and the count that says when the flow is over.
///
/// The flow feeds itself: the links of a page go back to its start. It is over when it is empty and
/// nothing more may enter; only the frontier knows both. Hosts take turns, and none has all visits
/// at once, so a slow host holds up only its own pages.
#[derive(Debug)]
pub struct Frontier {
    queue: Arc<Queue<Target>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By origin. A host is removed when it has no visit under way and no address to visit.
    hosts: HashMap<String, Host>,
    /// The origins with addresses that are known and not yet in the flow, each once, in the order
    /// of their turns.
    turns: VecDeque<String>,
    /// How many addresses are known and not yet in the flow.
    waiting: usize,
    /// How many addresses are in the queue or being visited.
    visiting: usize,
    /// The most that `visiting` may be.
    visits: usize,
    /// How many addresses are in the queue or in the flow.
    in_flow: usize,
    /// How many pages may still be stored. Each address in the flow may become one.
    budget: usize,
}

#[derive(Debug, Default)]
struct Host {
    /// Addresses that are known and not yet in the flow, oldest first.
    backlog: VecDeque<Target>,
    /// How many of its addresses are in the queue or being visited.
    visiting: usize,
}

/// What became of an address that leaves the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is a page, and counts against the budget.
    Stored,
    /// There is no page.
    Without,
}

/// The visit of an address. It ends when this is dropped, and then the next one may begin.
#[derive(Debug)]
pub struct Turn {
    frontier: Arc<Frontier>,
    origin: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.frontier.state();
        state.visiting -= 1;
        if let Some(host) = state.hosts.get_mut(&self.origin) {
            host.visiting -= 1;
            if host.visiting == 0 && host.backlog.is_empty() {
                state.hosts.remove(&self.origin);
            }
        }
        self.frontier.feed(state);
    }
}

impl Frontier {
    /// Creates a frontier of these addresses, and of those found later. At most `budget` of them
    /// may become pages, and at most `visits` are visited at once.
    pub fn new(pending: Vec<Target>, budget: Option<usize>, visits: usize) -> Self {
        let state = State {
            hosts: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            visiting: 0,
            visits,
            in_flow: 0,
            budget: budget.unwrap_or(usize::MAX),
        };
        let frontier = Self { queue: Arc::new(Queue::unbounded()), state: Mutex::new(state) };
        frontier.extend(pending);
        frontier
    }

    /// Where the flow reads from. It is closed when the crawl is over.
    pub fn queue(&self) -> &Arc<Queue<Target>> {
        &self.queue
    }

    /// Begins the visit of a target that came out of the queue.
    pub fn turn(self: &Arc<Self>, target: &Target) -> Turn {
        Turn { frontier: self.clone(), origin: origin(&target.url).to_owned() }
    }

    /// Adds the addresses that a page in the flow has led to.
    pub fn extend(&self, found: impl IntoIterator<Item = Target>) {
        let mut state = self.state();
        found.into_iter().for_each(|target| state.add(target));
        self.feed(state);
    }

    /// Counts an address that has left the flow.
    pub fn leave(&self, left: Left) {
        let mut state = self.state();
        state.in_flow -= 1;
        state.budget -= usize::from(left == Left::Stored);
        self.feed(state);
    }

    /// Returns how many addresses are known and not being visited yet.
    pub fn waiting(&self) -> usize {
        self.state().waiting + self.queue.len()
    }

    fn feed(&self, mut state: MutexGuard<'_, State>) {
        while let Some(target) = state.next() {
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

impl State {
    fn add(&mut self, target: Target) {
        let origin = origin(&target.url);
        if !self.hosts.contains_key(origin) {
            self.hosts.insert(origin.to_owned(), Host::default());
        }
        let host = self.hosts.get_mut(origin).expect("it was just put there");
        if host.backlog.is_empty() {
            self.turns.push_back(origin.to_owned());
        }
        host.backlog.push_back(target);
        self.waiting += 1;
    }

    /// Takes the next address to visit, if there is one and room for it.
    fn next(&mut self) -> Option<Target> {
        if self.in_flow >= self.budget || self.visiting >= self.visits {
            return None;
        }
        // A share is for one host more than there are: a new host finds room when it comes.
        let share = (self.visits / (self.hosts.len() + 1)).max(1);
        for _ in 0..self.turns.len() {
            let origin = self.turns.pop_front()?;
            let host = self.hosts.get_mut(&origin)?;
            if host.visiting >= share {
                // A host with a full share has a visit, so no more hosts are skipped than there are
                // visits.
                self.turns.push_back(origin);
                continue;
            }
            let target = host.backlog.pop_front()?;
            host.visiting += 1;
            if !host.backlog.is_empty() {
                self.turns.push_back(origin);
            }
            self.waiting -= 1;
            self.visiting += 1;
            self.in_flow += 1;
            return Some(target);
        }
        None
    }
}

/// `http://host:port` of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use tidegate::sync::queue::TryPopError;

    use super::*;

    fn target(n: usize) -> Target {
        Target::new(format!("http://a.test/{n}"), 0)
    }

    fn frontier(pending: Vec<Target>, budget: Option<usize>) -> Frontier {
        Frontier::new(pending, budget, 100)
    }

    fn pop(frontier: &Frontier) -> Result<String, TryPopError> {
        frontier.queue().try_pop().map(|target| target.url)
    }

    #[test]
    fn a_host_that_is_slow_leaves_room_for_others() {
        let slow = (0..100).map(target).collect();
        let frontier = Arc::new(Frontier::new(slow, None, 8));
        let mut begun: Vec<_> = std::iter::from_fn(|| frontier.queue().try_pop().ok()).collect();
        assert_eq!(begun.len(), 4);
        let turns: Vec<_> = begun.drain(..).map(|target| frontier.turn(&target)).collect();
        frontier.extend((0..100).map(|n| Target::new(format!("http://b.test/{n}"), 0)));
        let mut begun = 0;
        while let Ok(target) = frontier.queue().try_pop() {
            assert!(target.url.starts_with("http://b.test/"));
            drop(frontier.turn(&target));
            begun += 1;
        }
        assert_eq!(begun, 100, "the second host is done while the first one has not answered");
        drop(turns);
        assert!(pop(&frontier).is_ok());
    }

    #[test]
    fn it_ends_when_nothing_is_in_the_flow() {
        let frontier = frontier(vec![target(1)], None);
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
        let frontier = frontier((0..5).map(target).collect(), Some(2));
        assert_eq!((pop(&frontier).is_ok(), pop(&frontier).is_ok()), (true, true));
        assert_eq!(pop(&frontier), Err(TryPopError::Empty));
        // An address without a page leaves its place in the budget to another.
        frontier.leave(Left::Without);
        assert!(pop(&frontier).is_ok());
        frontier.leave(Left::Stored);
        frontier.leave(Left::Stored);
        assert_eq!(pop(&frontier), Err(TryPopError::Closed));
        assert_eq!(frontier.waiting(), 2);
    }

    #[test]
    fn nothing_to_crawl_is_the_end() {
        assert_eq!(pop(&frontier(vec![], None)), Err(TryPopError::Closed));
    }
}
