//! Runs models under loom, and counts their executions.

use std::{
    cell::Cell,
    env,
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use loom::model::Builder;
use tracing_subscriber::{EnvFilter, fmt};

std::thread_local! {
    /// How many models the test of this thread has run.
    static MODELS: Cell<u32> = const { Cell::new(0) };
}

/// Runs a model in every interleaving, and notes how many there were.
pub(crate) fn run(why: Option<&str>, steps: impl Fn() + Sync + Send + 'static) {
    let turn = MODELS.replace(MODELS.get() + 1);
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    // Each model has a checkpoint file of its own: no model goes on where another has stopped.
    builder.checkpoint_file = builder.checkpoint_file.map(|file| {
        let mut file = file.into_os_string();
        file.push(format!(".{turn}"));
        file.into()
    });
    let executions = Arc::new(AtomicU64::new(0));
    let counted = {
        let executions = executions.clone();
        move || {
            executions.fetch_add(1, Relaxed);
            steps();
        }
    };
    if builder.log {
        let filter = EnvFilter::from_env("LOOM_LOG");
        let subscriber = fmt().with_env_filter(filter).with_test_writer().without_time().finish();
        tracing::subscriber::with_default(subscriber, || builder.check(counted));
    } else {
        builder.check(counted);
    }
    if let Some(file) = env::var_os("LOOM_EXECUTIONS") {
        note(file.into(), executions.load(Relaxed), why);
    }
}

/// Adds a line to the file, separated by tabs: the tests' file, the test, the number of executions,
/// and why it may be small.
fn note(file: PathBuf, executions: u64, why: Option<&str>) {
    let program = env::current_exe().expect("a test has a file");
    let stem = program.file_stem().expect("a file has a name").to_string_lossy();
    let tests = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    let thread = thread::current();
    let test = thread.name().expect("a test runs on a thread with its name");
    let line = format!("{tests}\t{test}\t{executions}\t{}\n", why.unwrap_or(""));
    // One write, as other tests write to the file at the same time.
    let mut file =
        File::options().create(true).append(true).open(file).expect("a file to note executions in");
    file.write_all(line.as_bytes()).expect("room for a line");
}
