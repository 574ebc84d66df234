//! Which events of the crate `tracing` a breaker makes.

use core::time::Duration;
use std::{
    io,
    sync::{Arc, Mutex},
};

use tidegate_circuit_breaker::{
    Breaker, BreakerSettings, ManualClock, OpenFor, TracingObserver, TripRule,
};

/// What is written to it, in one text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the events of `run`, one on each line.
fn events(run: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn each_transition_and_refusal_is_an_event_with_its_figures() {
    let clock = ManualClock::new();
    let breaker = Breaker::builder()
        .trip_on(TripRule::consecutive(2))
        .open_for(OpenFor::fixed(Duration::from_secs(5)).jitter(0.0))
        .clock(clock.clone())
        .observer(TracingObserver::new("payments"))
        .build()
        .unwrap();
    let heard = events(|| {
        while let Ok(pass) = breaker.try_enter() {
            pass.failure();
        }
        clock.advance(Duration::from_secs(5));
        breaker.try_enter().unwrap().success();
        breaker.force_open();
        breaker.reset();
        breaker.reconfigure(&BreakerSettings::default()).unwrap();
    });
    let figures = "calls=0 failure_rate=0.0 slow_rate=0.0";
    let transition = |message: &str, level, from, to, generation, failures| {
        format!(
            "{level} tidegate_circuit_breaker: {message} breaker=\"payments\" \
             from={from} to={to} generation={generation} {figures} consecutive_failures={failures}"
        )
    };
    let expected = [
        transition("tripped", "WARN", "closed", "open", 1, 2) + " open_for=5s",
        "DEBUG tidegate_circuit_breaker: refused breaker=\"payments\" reason=Open \
         retry_after=5s"
            .to_owned(),
        transition("half-open", "INFO", "open", "half-open", 2, 0),
        transition("closed", "INFO", "half-open", "closed", 3, 0),
        transition("forced", "WARN", "closed", "forced open", 4, 0),
        transition("reset", "INFO", "forced open", "closed", 5, 0),
        transition("reconfigured", "INFO", "closed", "closed", 6, 0),
    ];
    assert_eq!(heard, expected);
}
