//! The registry: which objects are watched, by which names, and how all are read.

use core::fmt;

use alloc::{boxed::Box, collections::BTreeSet, string::String, vec::Vec};

use tidegate_core::{
    lock::Lock,
    primitive::{Arc, Weak},
    report::{Report, Sample, Sink, Value},
};

use crate::named_sample::{NamedSample, series};

/// The objects that operators see, each by a name. Clones are the same registry.
///
/// A registry keeps weak references: an object that is dropped is not reported any more. Reading
/// holds no lock of the registry's while it reads an object, and an object whose last owner drops
/// it meanwhile is dropped by the reader.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use tidegate_metrics::Registry;
/// use tidegate_semaphore::Semaphore;
///
/// let (registry, permits) = (Registry::new(), Arc::new(Semaphore::new(8)));
/// registry.watch("payments", &permits)?;
/// let _held = permits.try_acquire(3)?;
/// let line = r#"tidegate_semaphore_permits{name="payments",state="in_use"} 3"#;
/// assert!(registry.openmetrics().contains(line));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    watched: Arc<Lock<Vec<Arc<Watched>>>>,
}

/// A watched object, which may have been dropped.
trait Source: Send + Sync {
    /// Hands the object's samples to `to`. Returns false, without a sample, if the object was
    /// dropped.
    fn read(&self, to: &mut dyn Sink) -> bool;

    /// Returns whether the object was dropped. Runs none of the object's code.
    fn is_gone(&self) -> bool;
}

impl<T: Report + Send + Sync> Source for Weak<T> {
    fn read(&self, to: &mut dyn Sink) -> bool {
        self.upgrade().is_some_and(|object| {
            object.report(to);
            true
        })
    }

    fn is_gone(&self) -> bool {
        self.strong_count() == 0
    }
}

struct Watched {
    name: Arc<String>,
    source: Box<dyn Source>,
    /// The latest sample of each series, as [`keep_from_shrinking`](Self::keep_from_shrinking) left
    /// it.
    seen: Lock<Vec<Sample>>,
}

impl Registry {
    /// Creates a registry without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports `object` by this name from now on, as long as it exists. This call reads its samples
    /// once, to compare them with those of the other objects of that name.
    ///
    /// Objects of several patterns may have one name, as the semaphore and the breaker of one
    /// service. Any name is allowed; as a label, a few words read well.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if another object of that name reports the same metric with the same labels as
    /// `object`, so that the two could not be told apart. `object` is then not watched. The name of
    /// an object that was dropped is free again.
    pub fn watch<T>(&self, name: impl Into<String>, object: &Arc<T>) -> Result<(), NameTaken>
    where
        T: Report + Send + Sync + 'static,
    {
        self.forget_dropped();
        let (name, source) = (Arc::new(name.into()), Box::new(Arc::downgrade(object)));
        let new = Arc::new(Watched { name, source, seen: Lock::new(Vec::new()) });
        let samples = new.samples().unwrap_or_default();
        let mut compared = Vec::new();
        // An object that another call watches meanwhile is compared, too.
        while let Some(other) = self.add_or_compare(&new, &compared) {
            let others = other.samples().unwrap_or_default();
            if others.iter().any(|a| samples.iter().any(|b| series(a) == series(b))) {
                return Err(NameTaken { name: String::clone(&new.name) });
            }
            compared.push(other);
        }
        Ok(())
    }

    /// Returns an object of the same name that is not among those `compared`; if there is none,
    /// adds `new` and returns `None`.
    fn add_or_compare(
        &self,
        new: &Arc<Watched>,
        compared: &[Arc<Watched>],
    ) -> Option<Arc<Watched>> {
        self.watched.with(|watched| {
            let is_compared = |other: &Arc<Watched>| compared.iter().any(|a| Arc::ptr_eq(a, other));
            let mut others = watched.iter().filter(|other| other.name == new.name);
            let other = others.find(|other| !is_compared(other)).cloned();
            if other.is_none() {
                watched.push(Arc::clone(new));
            }
            other
        })
    }

    /// Reads every object. The readings are sorted by metric; those of one metric are in the order
    /// in which their objects were watched.
    ///
    /// Counters and histograms never go backwards, even where an object corrects its own, so that
    /// no system takes a correction for a restart. No two readings have the same metric and the
    /// same labels.
    pub fn read(&self) -> Vec<NamedSample> {
        let mut readings: Vec<NamedSample> = Vec::new();
        for watched in self.watched() {
            let Some(mut samples) = watched.samples() else { continue };
            watched.keep_from_shrinking(&mut samples);
            let named = |sample| NamedSample::new(Arc::clone(&watched.name), sample);
            readings.extend(samples.into_iter().map(named));
        }
        self.forget_dropped();
        let mut known = BTreeSet::new();
        readings.retain(|reading| known.insert(reading.series()));
        readings.sort_by_key(|reading| reading.sample.metric);
        readings
    }

    fn forget_dropped(&self) {
        self.watched.with(|watched| watched.retain(|watched| !watched.source.is_gone()));
    }

    fn watched(&self) -> Vec<Arc<Watched>> {
        self.watched.with(|watched| watched.clone())
    }
}

impl Watched {
    /// Returns the samples of the object, `None` if it was dropped.
    fn samples(&self) -> Option<Vec<Sample>> {
        let mut samples = Samples(Vec::new());
        self.source.read(&mut samples).then_some(samples.0)
    }

    /// Raises each counter, bucket and sum that is lower than before to what it was: a semaphore,
    /// for example, corrects its count when a grant is not taken.
    fn keep_from_shrinking(&self, samples: &mut [Sample]) {
        self.seen.with(|seen| {
            for sample in samples {
                match seen.iter_mut().find(|seen| series(seen) == series(sample)) {
                    Some(seen) => {
                        sample.value = larger(seen.value, sample.value);
                        seen.value = sample.value;
                    }
                    None => seen.push(*sample),
                }
            }
        });
    }
}

fn larger(before: Value, now: Value) -> Value {
    match (before, now) {
        (Value::Counter(before), Value::Counter(now)) => Value::Counter(before.max(now)),
        (
            Value::Histogram { buckets: before, sum: sum_before },
            Value::Histogram { buckets: now, sum },
        ) => Value::Histogram { buckets: before.max(&now), sum: sum_before.max(sum) },
        _ => now,
    }
}

struct Samples(Vec<Sample>);

impl Sink for Samples {
    fn record(&mut self, sample: Sample) {
        self.0.push(sample);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.watched();
        let names: Vec<&str> = watched.iter().map(|watched| watched.name.as_str()).collect();
        f.debug_struct("Registry").field("names", &names).finish_non_exhaustive()
    }
}

/// [`Registry::watch`] found another object of that name that reports the same metric with the same
/// labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTaken {
    name: String,
}

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "another object with the same metrics has the name {:?}", self.name)
    }
}

impl core::error::Error for NameTaken {}
