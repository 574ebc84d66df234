//! Stages whose work is done by the threads of a pool or of the run.

mod map_on;

mod chunk_size;
mod chunk_work;
mod chunked;
mod exchange;
mod workers;

pub use self::{
    chunk_work::{Apply, ApplyWith, ChunkWork, Then},
    chunked::Chunked,
    workers::{Threads, Workers},
};
