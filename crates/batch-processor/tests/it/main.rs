//! The tests of tidegate-batch-processor, one binary: a module for each subject.

mod batches;
mod changes;
mod dedupe;
mod dropped;
mod echo;
mod exactly_once;
mod foreign;
mod foreign_keys;
mod foreign_more;
mod huge;
mod keyed;
mod lagging;
mod leader;
mod policies;
mod recovery;
mod results;
mod rivals;
mod settings;
mod still;
mod streams;
mod stress;
mod threads;
mod traits;
mod waiting;
