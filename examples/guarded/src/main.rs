//! Visits a flaky server as a task and as a thread, and tells what happened.

use guarded::{Guards, Server, visit};
use tidegate::Wait;

fn main() {
    let (guards, server) = (Guards::new(), Server::default());
    std::thread::scope(|s| {
        // A thread waits for the very future that a task awaits.
        let thread = s.spawn(|| visit(&guards, &server, 20).wait());
        let task = async { visit(&guards, &server, 20).await };
        println!("task:   {:?}", task.wait());
        println!("thread: {:?}", thread.join().expect("no panic"));
    });
    println!("breaker: {:?}, {:?}", guards.breaker().state(), guards.breaker().stats());
}
