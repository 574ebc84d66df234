//! The semaphores that are measured, behind two traits. A method is what a user would write, and nothing more.

use std::sync;

use asyncband::blocking::FutureExt;
use futures_lite::future::block_on;
use tidegate_core::Wait;

/// A semaphore for threads.
pub(super) trait Subject: Send + Sync + 'static {
    /// Gives the permit back when dropped.
    type Permit<'a>;

    fn try_acquire(&self) -> Option<Self::Permit<'_>>;

    /// Blocks the thread.
    fn wait(&self) -> Self::Permit<'_>;
}

/// A semaphore for tasks.
pub(super) trait Async: Subject {
    /// What its future returns.
    type Answer<'a>;

    fn acquire(&self) -> impl Future<Output = Self::Answer<'_>>;

    /// Unwraps an answer.
    fn permit(answer: Self::Answer<'_>) -> Self::Permit<'_>;
}

impl Subject for tidegate_semaphore::Semaphore {
    type Permit<'a> = tidegate_semaphore::Permit<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.try_acquire(1).ok()
    }

    #[inline]
    fn wait(&self) -> Self::Permit<'_> {
        self.acquire(1).wait().unwrap()
    }
}

impl Async for tidegate_semaphore::Semaphore {
    type Answer<'a> = Result<Self::Permit<'a>, tidegate_semaphore::AcquireError>;

    #[inline]
    fn acquire(&self) -> impl Future<Output = Self::Answer<'_>> {
        self.acquire(1)
    }

    #[inline]
    fn permit(answer: Self::Answer<'_>) -> Self::Permit<'_> {
        answer.unwrap()
    }
}

impl Subject for tokio::sync::Semaphore {
    type Permit<'a> = tokio::sync::SemaphorePermit<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.try_acquire().ok()
    }

    #[inline]
    fn wait(&self) -> Self::Permit<'_> {
        block_on(self.acquire()).unwrap()
    }
}

impl Async for tokio::sync::Semaphore {
    type Answer<'a> = Result<Self::Permit<'a>, tokio::sync::AcquireError>;

    #[inline]
    fn acquire(&self) -> impl Future<Output = Self::Answer<'_>> {
        self.acquire()
    }

    #[inline]
    fn permit(answer: Self::Answer<'_>) -> Self::Permit<'_> {
        answer.unwrap()
    }
}

impl Subject for asyncband::semaphore::Semaphore {
    type Permit<'a> = asyncband::semaphore::SemaphorePermit<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.try_acquire(1)
    }

    #[inline]
    fn wait(&self) -> Self::Permit<'_> {
        self.acquire(1).block_on()
    }
}

impl Async for asyncband::semaphore::Semaphore {
    type Answer<'a> = Self::Permit<'a>;

    #[inline]
    fn acquire(&self) -> impl Future<Output = Self::Answer<'_>> {
        self.acquire(1)
    }

    #[inline]
    fn permit(answer: Self::Answer<'_>) -> Self::Permit<'_> {
        answer
    }
}

impl Subject for async_lock::Semaphore {
    type Permit<'a> = async_lock::SemaphoreGuard<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<Self::Permit<'_>> {
        self.try_acquire()
    }

    #[inline]
    fn wait(&self) -> Self::Permit<'_> {
        self.acquire_blocking()
    }
}

impl Async for async_lock::Semaphore {
    type Answer<'a> = Self::Permit<'a>;

    #[inline]
    fn acquire(&self) -> impl Future<Output = Self::Answer<'_>> {
        self.acquire()
    }

    #[inline]
    fn permit(answer: Self::Answer<'_>) -> Self::Permit<'_> {
        answer
    }
}

/// A count under std's mutex, with its condition variable.
pub(super) struct ByStd {
    free: sync::Mutex<usize>,
    released: sync::Condvar,
}

impl ByStd {
    pub(super) fn new(permits: usize) -> Self {
        Self { free: sync::Mutex::new(permits), released: sync::Condvar::new() }
    }
}

impl Subject for ByStd {
    type Permit<'a> = StdPermit<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<StdPermit<'_>> {
        let mut free = self.free.lock().unwrap();
        *free = free.checked_sub(1)?;
        Some(StdPermit(self))
    }

    #[inline]
    fn wait(&self) -> StdPermit<'_> {
        let mut free = self.free.lock().unwrap();
        while *free == 0 {
            free = self.released.wait(free).unwrap();
        }
        *free -= 1;
        StdPermit(self)
    }
}

/// A permit of [`ByStd`].
pub(super) struct StdPermit<'a>(&'a ByStd);

impl Drop for StdPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.0.free.lock().unwrap() += 1;
        self.0.released.notify_one();
    }
}

/// A count under parking_lot's mutex, with its condition variable.
pub(super) struct ByParkingLot {
    free: parking_lot::Mutex<usize>,
    released: parking_lot::Condvar,
}

impl ByParkingLot {
    pub(super) fn new(permits: usize) -> Self {
        Self { free: parking_lot::Mutex::new(permits), released: parking_lot::Condvar::new() }
    }
}

impl Subject for ByParkingLot {
    type Permit<'a> = ParkingLotPermit<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<ParkingLotPermit<'_>> {
        let mut free = self.free.lock();
        *free = free.checked_sub(1)?;
        Some(ParkingLotPermit(self))
    }

    #[inline]
    fn wait(&self) -> ParkingLotPermit<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.released.wait(&mut free);
        }
        *free -= 1;
        ParkingLotPermit(self)
    }
}

/// A permit of [`ByParkingLot`].
pub(super) struct ParkingLotPermit<'a>(&'a ByParkingLot);

impl Drop for ParkingLotPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.released.notify_one();
    }
}

/// The slots of a bounded channel: to send is to acquire, and to receive is to release.
pub(super) struct ByChannel {
    sender: crossbeam_channel::Sender<()>,
    receiver: crossbeam_channel::Receiver<()>,
}

impl ByChannel {
    pub(super) fn new(permits: usize) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(permits);
        Self { sender, receiver }
    }
}

impl Subject for ByChannel {
    type Permit<'a> = Slot<'a>;

    #[inline]
    fn try_acquire(&self) -> Option<Slot<'_>> {
        self.sender.try_send(()).ok()?;
        Some(Slot(self))
    }

    #[inline]
    fn wait(&self) -> Slot<'_> {
        self.sender.send(()).unwrap();
        Slot(self)
    }
}

/// A permit of [`ByChannel`].
pub(super) struct Slot<'a>(&'a ByChannel);

impl Drop for Slot<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.receiver.recv().unwrap();
    }
}
