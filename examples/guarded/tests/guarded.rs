//! The guards do the same for every waiter, task or thread.

use std::{sync::Arc, thread};

use guarded::{Guards, Server, Tale, visit};
use tidegate::{Wait, circuit_breaker::State};

fn shared() -> (Arc<Guards>, Arc<Server>) {
    (Arc::new(Guards::new()), Arc::new(Server::default()))
}

#[test]
fn a_server_that_is_down_is_left_alone_and_found_again() {
    let (guards, server) = shared();
    let tale = visit(guards.clone(), server, 20).wait();
    // Three failures trip the breaker; two probes fail, and a third one is answered.
    assert_eq!((tale.answered, tale.failed), (20, 5));
    let stats = guards.breaker().stats();
    assert!(stats.trips >= 1, "{stats:?}");
    // How often it refused depends on when it was asked, but each refusal reached its caller.
    assert_eq!(stats.refused, u64::from(tale.refused));
    assert_eq!(stats.state, State::Closed);
    assert_eq!(guards.free_permits(), 4);
}

#[test]
fn tasks_of_two_runtimes_and_a_thread_go_through_the_same_gates() {
    let (guards, server) = shared();
    let visit = || visit(guards.clone(), server.clone(), 20);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let in_tokio = tokio.spawn(visit());
    let in_smol = smol::spawn(visit());
    let on_thread = {
        let visit = visit();
        thread::spawn(move || visit.wait())
    };
    let tales: [Tale; 3] =
        [tokio.block_on(in_tokio).unwrap(), smol::block_on(in_smol), on_thread.join().unwrap()];
    assert_eq!(tales.map(|tale| tale.answered), [20, 20, 20]);
    assert_eq!(tales.iter().map(|tale| tale.failed).sum::<u32>(), 5);
    assert_eq!(guards.free_permits(), 4);
}
