//! Visits a flaky server as a spawned task and as a thread, and tells what happened.

use std::{sync::Arc, thread};

use guarded::{Guards, Server, visit};
use tidegate::Wait;

fn main() {
    let (guards, server) = (Arc::new(Guards::new()), Arc::new(Server::default()));
    // A thread waits for the very future that an executor polls.
    let task = smol::spawn(visit(guards.clone(), server.clone(), 20));
    let thread = {
        let visit = visit(guards.clone(), server, 20);
        thread::spawn(move || visit.wait())
    };
    println!("task:   {:?}", task.wait());
    println!("thread: {:?}", thread.join().expect("no panic"));
    println!("breaker: {:?}, {:?}", guards.breaker().state(), guards.breaker().stats());
}
