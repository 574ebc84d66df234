//! Measures contenders by turns: A B C, B C A, C A B, …
//!
//! A noisy neighbour, a change of the clock frequency or a thermal limit then slows down all of
//! them. And no contender always finds the cache as the same other one has left it.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidegate_core::{Clock, SystemClock};

use crate::{
    timing::timed,
    workload::{Contender, Workload, rival},
};

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds; each gives one sample of every contender.
    pub rounds: usize,

    /// How long a sample should take.
    pub sample: Duration,

    /// Whether a sample has at least [`Contender::least`] operations, however long they take.
    pub whole: bool,
}

impl Plan {
    /// For results.
    pub const FULL: Self = Self { rounds: 21, sample: Duration::from_millis(20), whole: true };

    /// To see that everything runs.
    pub const QUICK: Self = Self { rounds: 3, sample: Duration::from_millis(2), whole: false };
}

/// What was measured of one workload.
#[derive(Debug)]
pub struct Table {
    /// The workload.
    pub workload: Workload,

    /// F, the cost of one uncontended atomic `fetch_add`.
    pub fetch_add: Samples,

    /// C, the cost of one reading of the system's clock.
    pub clock: Samples,

    /// One row per contender, the fastest first.
    pub rows: Vec<Row>,
}

/// What was measured of one contender.
#[derive(Debug)]
pub struct Row {
    /// [`Contender::name`].
    pub name: &'static str,

    /// [`Contender::class`].
    pub class: &'static str,

    /// [`Contender::ours`].
    pub ours: bool,

    /// Nanoseconds per operation.
    pub samples: Samples,
}

/// Nanoseconds per operation, one for each round, sorted.
#[derive(Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    fn sorted(mut samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "a plan has rounds");
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// Returns the given quartile, 0 to 4, which may lie between two samples.
    pub fn quartile(&self, number: usize) -> f64 {
        let place = number * (self.0.len() - 1);
        let (below, above) = (self.0[place / 4], self.0[place.div_ceil(4)]);
        below + (above - below) * (place % 4) as f64 / 4.0
    }

    /// Returns the median.
    pub fn median(&self) -> f64 {
        self.quartile(2)
    }

    /// Returns the smallest.
    pub fn min(&self) -> f64 {
        self.quartile(0)
    }

    /// Returns the greatest.
    pub fn max(&self) -> f64 {
        self.quartile(4)
    }
}

/// Measures the contenders of `workload`, and F and C with them.
pub fn measure(workload: Workload, plan: Plan) -> Table {
    let mut contenders = vec![fetch_add(), clock()];
    contenders.append(&mut (workload.contenders)());
    let samples = by_turns(&mut contenders, plan);
    let mut rows = contenders.into_iter().zip(samples).map(|(contender, samples)| {
        let Contender { name, class, ours, .. } = contender;
        Row { name, class, ours, samples }
    });
    let (fetch_add, clock) = (rows.next().unwrap().samples, rows.next().unwrap().samples);
    let mut rows: Vec<Row> = rows.collect();
    rows.sort_by(|a, b| a.samples.median().total_cmp(&b.samples.median()));
    Table { workload, fetch_add, clock, rows }
}

fn by_turns(contenders: &mut [Contender], plan: Plan) -> Vec<Samples> {
    let operations: Vec<u64> =
        contenders.iter_mut().map(|contender| calibrate(contender, plan)).collect();
    let mut samples = vec![Vec::with_capacity(plan.rounds); contenders.len()];
    // Calibration has warmed up each contender alone. The first round does so by turns, uncounted.
    for round in 0..=plan.rounds {
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let elapsed = (contenders[index].run)(operations[index]);
            if round > 0 {
                samples[index].push(elapsed.as_secs_f64() * 1e9 / operations[index] as f64);
            }
        }
    }
    samples.into_iter().map(Samples::sorted).collect()
}

/// Returns the number of operations that take about as long as a sample should, or the contender's
/// least number if that is more. It also warms up the contender.
fn calibrate(contender: &mut Contender, Plan { sample, whole, .. }: Plan) -> u64 {
    let least = if whole { contender.least } else { 1 };
    let mut operations = least.max(64);
    loop {
        let elapsed = (contender.run)(operations);
        if elapsed >= sample / 4 {
            let wanted = u128::from(operations) * sample.as_nanos() / elapsed.as_nanos();
            return u64::try_from(wanted).expect("a quarter of a sample was done").max(least);
        }
        operations *= 2;
    }
}

fn fetch_add() -> Contender {
    let count = AtomicU64::new(0);
    rival("fetch_add", "", move |n| {
        timed(|| {
            for _ in 0..n {
                black_box(&count).fetch_add(1, Ordering::AcqRel);
            }
        })
    })
}

fn clock() -> Contender {
    rival("clock", "", |n| {
        timed(|| {
            for _ in 0..n {
                black_box(SystemClock.now());
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_samples() {
        let samples = Samples::sorted(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((samples.min(), samples.median(), samples.max()), (1.0, 2.5, 4.0));
        assert_eq!(samples.quartile(1), 1.75);
        assert_eq!(Samples::sorted(vec![7.0]).quartile(1), 7.0);
    }

    #[test]
    fn everybody_has_as_many_turns_as_there_are_rounds() {
        let slow = |name| rival(name, "", |n| Duration::from_nanos(2 * n));
        let plan = Plan { rounds: 5, sample: Duration::from_micros(1), whole: true };
        let samples = by_turns(&mut [slow("a"), slow("b")], plan);
        assert!(samples.iter().all(|samples| samples.0 == [2.0; 5]), "{samples:?}");
    }
}
