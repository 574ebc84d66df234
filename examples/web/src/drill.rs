//! The drill: the same troubles twice, with the guard and without.

mod chart;
mod report;

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    process,
    time::{Duration, Instant},
};

use tokio::time;

pub use self::report::Report;
use crate::{
    load::Sent,
    server::Server,
    settings::{LoadSettings, Settings},
    upstream::Mode,
    web::Guarding,
};

/// How the drill is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whether each trouble lasts for seconds only, as in CI.
    pub is_short: bool,
}

/// One of the troubles.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// Requests, as a share of what the upstream can answer.
    pub load: f64,
    /// How the upstream behaves.
    pub mode: Mode,
    /// How long it lasts.
    pub lasts: Duration,
}

impl Plan {
    /// Returns the troubles in their order.
    pub fn phases(self) -> [Phase; 5] {
        let seconds = if self.is_short { [2, 3, 2, 2, 3] } else { [12; 5] };
        let phase = |name, load, mode, at: usize| {
            let lasts = Duration::from_secs(seconds[at]);
            Phase { name, load, mode, lasts }
        };
        [
            phase("calm", 0.5, Mode::Normal, 0),
            phase("overload", 4.0, Mode::Normal, 1),
            phase("slow upstream", 0.5, Mode::Slow, 2),
            phase("outage", 0.5, Mode::Down, 3),
            phase("recovery", 0.5, Mode::Normal, 4),
        ]
    }
}

/// What became of the requests.
#[derive(Debug)]
pub struct Run {
    /// When it began.
    pub began: Instant,
    /// All of them.
    pub sent: Vec<Sent>,
    /// Of each phase, the requests whose time limit lay within it.
    pub phases: Vec<Vec<Sent>>,
}

/// Does the drill, with the guard and without.
///
/// # Errors
///
/// The server cannot be started or ended.
pub async fn run(plan: Plan) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let guarded = run_once(plan, Guarding::On).await?;
    let bare = run_once(plan, Guarding::Off).await?;
    let capacity = Settings::default().upstream.capacity();
    let edge = Settings::default().load.timeout;
    Ok(Report { phases: plan.phases(), edge, capacity, guarded, bare })
}

async fn run_once(plan: Plan, guarding: Guarding) -> Result<Run, Box<dyn Error + Send + Sync>> {
    let mut settings = Settings::default();
    settings.service.address = ([127, 0, 0, 1], 0).into();
    let log = env::temp_dir().join(format!("web-drill-{}.db", process::id()));
    settings.log.database.clone_from(&log);
    // No two requests are alike, and no client asks too often: it is the upstream that limits.
    settings.load = LoadSettings { clients: 250, hot_one_in: 0, greedy_one_in: 0, ..settings.load };
    let (capacity, gives_up) = (settings.upstream.capacity(), settings.load.timeout);
    let server = Server::start(settings, guarding).await?;
    let web = server.web().clone();
    // Otherwise the samples for the page would take the results that the drill counts.
    server.stop_sampling();

    let (began, mut starts) = (Instant::now(), Vec::new());
    for phase in plan.phases() {
        tracing::info!(?guarding, load = phase.load, mode = ?phase.mode, "{}", phase.name);
        starts.push(Instant::now());
        web.upstream.set_mode(phase.mode);
        web.load.set_rate(phase.load * capacity);
        time::sleep(phase.lasts).await;
    }
    web.load.stop();
    time::sleep(2 * gives_up).await;
    let sent = web.load.take();
    drop(web);
    server.shutdown().await?;
    remove(&log);
    let phases = starts.iter().zip(plan.phases()).map(|(start, phase)| {
        let end = *start + phase.lasts - gives_up;
        sent.iter().filter(|sent| (*start..end).contains(&sent.at)).copied().collect()
    });
    Ok(Run { began, phases: phases.collect(), sent })
}

/// Removes a database and what SQLite has put beside it.
fn remove(database: &Path) {
    for end in ["", "-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(end);
        // A file that is not there need not be removed.
        let _ = fs::remove_file(path);
    }
}
