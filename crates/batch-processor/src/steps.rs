//! Counts the entries that an operation looks at, when this crate's own tests run: the tests show
//! by counts, not by time, that a cost does not grow.

#[cfg(test)]
std::thread_local! {
    static STEPS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// Counts one entry that is looked at.
#[cfg(test)]
pub(crate) fn step() {
    STEPS.set(STEPS.get() + 1);
}

#[cfg(not(test))]
#[inline]
pub(crate) fn step() {}

/// Returns how many entries `code` looks at.
#[cfg(test)]
pub(crate) fn steps_of(code: impl FnOnce()) -> usize {
    let before = STEPS.get();
    code();
    STEPS.get() - before
}
