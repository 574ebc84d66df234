//! The futures that the methods of this crate return, to be awaited in a task or waited for on a
//! thread.

pub use crate::{
    group::{Join, JoinNext, TryJoin},
    keyed::SubmitKeyed,
    shutdown::{Idle, Shutdown, ShutdownWithin},
    submit::{Execute, RunJob, Submit},
};
