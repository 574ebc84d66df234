//! What the guards did, whoever waits.

use guarded::{Guards, Server, visit};
use tidegate::{Wait, circuit_breaker::State};

#[test]
fn a_server_that_is_down_is_left_alone_and_found_again() {
    let (guards, server) = (Guards::new(), Server::default());
    let tale = visit(&guards, &server, 20).wait();
    // Three failures trip it; two probes fail, a third one is answered.
    assert_eq!((tale.answered, tale.failed), (20, 5));
    let stats = guards.breaker().stats();
    assert!(stats.trips >= 1, "{stats:?}");
    // How often depends on when the breaker was asked, but every refusal was told.
    assert_eq!(stats.refused, u64::from(tale.refused));
    assert_eq!(stats.state, State::Closed);
    assert_eq!(guards.free_places(), 4);
}

#[test]
fn tasks_and_threads_go_through_the_same_gates() {
    let (guards, server) = (Guards::new(), Server::default());
    let tales = std::thread::scope(|s| {
        let thread = s.spawn(|| visit(&guards, &server, 20).wait());
        let task = async { visit(&guards, &server, 20).await }.wait();
        [task, thread.join().unwrap()]
    });
    assert_eq!(tales.map(|tale| tale.answered), [20, 20]);
    assert_eq!(tales.iter().map(|tale| tale.failed).sum::<u32>(), 5);
    assert_eq!(guards.free_places(), 4);
}
