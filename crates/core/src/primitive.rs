//! The machine this workspace runs on: atomics, `Arc`, the mutex, parking and thread-locals.
//!
//! Everything that synchronizes comes from here, so that one switch replaces the real machine by
//! loom's model, and a target without 64-bit atomics or compare-and-swap gets the atomics of
//! `portable-atomic`. Other files choose between the machine and its model by `by_machine`; outside
//! of this file, only the models of the queue and the ring name `loom`.
//!
//! | world | atomics | `Arc` | mutex | parking |
//! | --- | --- | --- | --- | --- |
//! | usual | `core` | `alloc` | `std` (see [`crate::lock`] without std) | `parking` |
//! | no 64-bit atomics or no CAS | `portable-atomic` | `portable-atomic-util` where CAS is missing | same | same |
//! | `--cfg loom` | `loom` | `alloc` | `loom` | `parking` over loom |
//!
//! `Arc` is never loom's: loom has no `Weak`, and wakers need `alloc`'s. So a model does not see an
//! order that only a reference count makes. Where a count decides something (`Arc::get_mut`,
//! `Arc::into_inner`), the code must not rely on the count to order anything else.

/// Picks items for the real machine or for loom's model of it.
macro_rules! by_machine {
    (real { $($real:item)* } model { $($model:item)* }) => {
        $(#[cfg(not(loom))] $real)*
        $(#[cfg(loom)] $model)*
    };
}
pub(crate) use by_machine;

/// The atomic types, `fence` and `Ordering` of the machine.
pub mod atomic {
    #[cfg(all(not(loom), target_has_atomic = "64"))]
    pub use core::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(loom)]
    pub use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(all(not(loom), not(target_has_atomic = "64")))]
    pub use portable_atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

by_machine! {
    real {
        /// Returns counters at zero.
        pub const fn zeros<const N: usize>() -> [atomic::AtomicU64; N] {
            [const { atomic::AtomicU64::new(0) }; N]
        }
    }
    model {
        /// Returns counters at zero.
        pub fn zeros<const N: usize>() -> [atomic::AtomicU64; N] {
            core::array::from_fn(|_| atomic::AtomicU64::new(0))
        }
    }
}

#[cfg(target_has_atomic = "ptr")]
pub use alloc::sync::{Arc, Weak};
#[cfg(not(target_has_atomic = "ptr"))]
pub use portable_atomic_util::{Arc, Weak};

/// What to do when woken. Put it in a [`Wakeable`] to make wakers of it.
pub trait OnWake: Send + Sync + 'static {
    /// Runs at each wake, on any thread, also within a poll.
    fn on_wake(&self);
}

/// A value that wakers can be made of: `Waker::from(Arc<Wakeable<T>>)`.
///
/// It stands between `T` and the two traits named `Wake`, `alloc`'s and `portable-atomic-util`'s,
/// whose methods differ in their receivers.
#[derive(Debug)]
pub struct Wakeable<T>(pub T);

#[cfg(target_has_atomic = "ptr")]
impl<T: OnWake> alloc::task::Wake for Wakeable<T> {
    fn wake(self: Arc<Self>) {
        self.0.on_wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.on_wake();
    }
}

#[cfg(not(target_has_atomic = "ptr"))]
impl<T: OnWake> portable_atomic_util::task::Wake for Wakeable<T> {
    fn wake(this: Arc<Self>) {
        this.0.on_wake();
    }

    fn wake_by_ref(this: &Arc<Self>) {
        this.0.on_wake();
    }
}

#[cfg(not(loom))]
pub use core::hint::spin_loop;
#[cfg(loom)]
pub use loom::hint::spin_loop;

#[cfg(loom)]
pub(crate) use loom::sync::Mutex;
#[cfg(all(not(loom), feature = "std"))]
pub(crate) use std::sync::Mutex;
#[cfg(feature = "std")]
pub(crate) use std::sync::{PoisonError, TryLockError};

#[cfg(not(loom))]
pub use self::cell::UnsafeCell;
#[cfg(loom)]
pub use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;
#[cfg(all(not(loom), feature = "std"))]
pub(crate) use std::thread::yield_now;

/// Threads of the machine.
#[cfg(all(loom, feature = "std"))]
pub use loom::thread;
#[cfg(all(not(loom), feature = "std"))]
pub use std::thread;

#[cfg(all(loom, feature = "std"))]
pub use self::model_once::OnceLock;
/// A cell written once. Not modelled: for what lives as long as the process.
#[cfg(feature = "std")]
pub use std::sync::OnceLock as ProcessCell;
#[cfg(all(not(loom), feature = "std"))]
pub use std::sync::OnceLock;

#[cfg(all(loom, feature = "std"))]
pub(crate) use loom::{thread::LocalKey, thread_local};
#[cfg(all(not(loom), feature = "std"))]
pub(crate) use std::{thread::LocalKey, thread_local};

/// Declares a thread-local without a destructor whose first value is a constant: reading it is a
/// plain load. Loom's thread-locals have no constants.
#[cfg(feature = "std")]
macro_rules! thread_constant {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        #[cfg(not(loom))]
        std::thread_local! { $(#[$meta])* static $name: $type = const { $value }; }
        #[cfg(loom)]
        loom::thread_local! { $(#[$meta])* static $name: $type = $value; }
    };
}
#[cfg(feature = "std")]
pub(crate) use thread_constant;

/// A cell with loom's interface, by which a model sees which threads read it and which write.
#[cfg(not(loom))]
mod cell {
    /// A cell with loom's interface, by which a model sees which threads read it and which write.
    #[derive(Debug)]
    pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Creates a cell.
        pub const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// Calls `f` with a pointer to read through.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with a pointer to write through.
        #[inline]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }

        /// Returns the value.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }
}

/// How many tries of [`relax`] spin, each twice as long as the one before; later ones yield.
#[cfg(all(feature = "std", not(loom)))]
const SPINS: u32 = 7;

/// Waits about as long as another thread takes for a few instructions; after several tries, yields
/// to other threads.
#[cfg(all(feature = "std", not(loom)))]
#[cold]
pub fn relax(tries: &mut u32) {
    if *tries < SPINS {
        (0..1_u32 << *tries).for_each(|_| spin_loop());
    } else {
        yield_now();
    }
    *tries += 1;
}

/// Waits about as long as another thread takes for a few instructions.
#[cfg(all(not(feature = "std"), not(loom)))]
#[cold]
pub fn relax(tries: &mut u32) {
    *tries += 1;
    spin_loop();
}

/// LOOM: lets the other threads run.
#[cfg(loom)]
pub fn relax(tries: &mut u32) {
    *tries += 1;
    yield_now();
}

/// Declares a function that is `const` on the real machine and plain under loom, whose types have
/// no const constructor.
#[doc(hidden)]
#[macro_export]
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}

/// Parks the calling thread until it is unparked or `until` has come.
#[cfg(all(feature = "std", not(loom)))]
pub(crate) fn park_until(parker: &parking::Parker, until: std::time::Instant) {
    parker.park_deadline(until);
}

/// LOOM: time does not exist in a model. A timed park lets every other thread run, and then the
/// time has come; the thread's last poll finds out whether it was unparked meanwhile. That covers
/// both orders of a wake and an expiry.
#[cfg(all(feature = "std", loom))]
pub(crate) fn park_until(_parker: &parking::Parker, _until: std::time::Instant) {
    loom::thread::yield_now();
}

/// Returns `real`, which was tuned on real machines; in models, `in_models`, which is small where
/// the number decides which way the code goes.
///
/// LOOM: to repeat a step often before something else happens adds nothing to what a model
/// explores.
pub const fn tuned(real: u32, in_models: u32) -> u32 {
    if cfg!(loom) { in_models } else { real }
}

/// Does nothing on the real machine, where the `SeqCst` accesses before and after it are in one
/// order anyway.
///
/// LOOM: in C++20 the `SeqCst` accesses of all threads are in one order. Loom treats them as
/// AcqRel, but has `SeqCst` fences: with a fence between every two such accesses of a thread, they
/// are in one order in a model, too.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn sequentially_consistent_in_models() {
    if cfg!(loom) {
        atomic::fence(atomic::Ordering::SeqCst);
    }
}

/// Lets the calling thread sleep for `duration`.
#[cfg(feature = "std")]
pub(crate) fn nap(duration: core::time::Duration) {
    // No other thread has this parker, so none wakes it.
    park_until(&parking::Parker::new(), std::time::Instant::now() + duration);
}

/// Returns whether a thread that spins may be woken by another one that runs meanwhile.
///
/// LOOM: false: a model explores every moment at which a thread can be woken anyway; to poll for
/// the wake-up would only add executions that are alike.
#[cfg(feature = "std")]
pub(crate) fn may_spin() -> bool {
    !cfg!(loom) && parallelism() > 1
}

/// Consumes a wake-up of the calling thread that has come already; returns whether there was one.
#[cfg(all(feature = "std", not(loom)))]
#[inline]
pub(crate) fn take_wake_up(parker: &parking::Parker) -> bool {
    parker.park_timeout(core::time::Duration::ZERO)
}

/// LOOM: not reached, see [`may_spin`]; timed parking is not modelled.
#[cfg(all(feature = "std", loom))]
pub(crate) fn take_wake_up(_parker: &parking::Parker) -> bool {
    false
}

/// Returns whether a deadline has passed.
///
/// LOOM: true: this is called only after [`park_until`] has let the other threads run.
#[cfg(feature = "std")]
pub(crate) fn has_passed(deadline: std::time::Instant) -> bool {
    cfg!(loom) || std::time::Instant::now() >= deadline
}

/// Returns a number for the calling thread that no other thread of the process has. Returns `None`
/// where threads cannot be told apart: without std, in a model, and in a thread whose locals are
/// already gone.
#[cfg(all(feature = "std", not(loom)))]
#[inline]
pub fn thread_number() -> Option<usize> {
    use core::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    std::thread_local! {
        // Zero until it is asked for. A constant without a destructor, so that reading it is one
        // plain load.
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }
    #[cold]
    fn first(number: &Cell<usize>) -> usize {
        // ORDERING: Relaxed: only the uniqueness of the number counts.
        number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        number.get()
    }
    let number = |number: &Cell<usize>| match number.get() {
        0 => first(number),
        known => known,
    };
    NUMBER.try_with(number).ok()
}

/// Returns `None`. LOOM: a number handed out once per thread would differ between the executions of
/// a model, which must be alike.
#[cfg(any(not(feature = "std"), loom))]
#[inline]
pub fn thread_number() -> Option<usize> {
    None
}

/// Returns a seed from the operating system's randomness, another at each call.
#[cfg(all(feature = "std", not(loom)))]
pub fn random_seed() -> u64 {
    use core::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}

/// Returns a seed, another at each call: without std it can only be derived from how many calls
/// there were.
#[cfg(all(not(feature = "std"), not(loom)))]
pub fn random_seed() -> u64 {
    use self::atomic::{AtomicU64, Ordering};
    static USES: AtomicU64 = AtomicU64::new(0);
    // ORDERING: Relaxed: only the uniqueness of the number counts.
    crate::random::Random::new(USES.fetch_add(1, Ordering::Relaxed)).next_u64()
}

/// LOOM: the same at each call: the executions of a model must be alike.
#[cfg(loom)]
pub fn random_seed() -> u64 {
    0
}

#[cfg(all(feature = "std", not(loom)))]
mod parallelism;
#[cfg(all(feature = "std", not(loom)))]
pub use self::parallelism::{assume_parallelism, parallelism};

/// Returns 1 without std. LOOM: 2, as two stripes are enough to sum over.
#[cfg(any(not(feature = "std"), loom))]
pub fn parallelism() -> usize {
    if cfg!(loom) { 2 } else { 1 }
}

/// LOOM: std's `OnceLock` is invisible to the model, which would miss that its readers see what its
/// writer did.
#[cfg(all(loom, feature = "std"))]
mod model_once {
    use loom::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    /// A cell written once, with an atomic flag and a lock that the model can see.
    #[derive(Debug)]
    pub struct OnceLock<T> {
        is_set: AtomicBool,
        setting: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        /// Creates an empty cell.
        pub fn new() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                setting: Mutex::new(()),
                value: std::sync::OnceLock::new(),
            }
        }

        /// Returns the value; `None` if it was not written yet.
        pub fn get(&self) -> Option<&T> {
            // ORDERING: Acquire: pairs with the Release in `get_or_init`.
            self.is_set.load(Ordering::Acquire).then(|| self.value.get()).flatten()
        }

        /// Returns the value; if there is none, writes the result of `make` first.
        pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            if let Some(value) = self.get() {
                return value;
            }
            let _setting = self.setting.lock();
            let value = self.value.get_or_init(make);
            self.is_set.store(true, Ordering::Release);
            value
        }
    }

    impl<T> Default for OnceLock<T> {
        fn default() -> Self {
            Self::new()
        }
    }
}
