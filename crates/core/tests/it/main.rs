//! The tests of tidegate-core, one binary: a module for each subject.

mod backoff;
mod cached_clock;
mod cancel;
mod duration_text;
mod foreign;
mod future_slots;
mod gate;
mod hedge;
mod panics;
mod random;
mod retry;
mod ring;
mod rows;
mod rw_shards;
mod second_panics;
mod settings;
mod settling;
mod sizes;
mod spin;
mod timer_thread;
mod traits;
mod wait;
mod wait_list_cost;
mod wait_list_panics;
