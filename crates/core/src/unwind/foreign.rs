//! Foreign values, whose destructors may panic, also while another panic unwinds.

use core::{
    borrow::Borrow,
    mem,
    ops::{Deref, DerefMut},
};

use super::{drop_each, in_drop};

/// The message of a panic that cannot happen.
const THERE: &str = "it is there until it is dropped";

/// A value whose destructor is foreign code, dropped by [`in_drop`]: with std, a panic of the
/// destructor ends there if another panic is already unwinding.
///
/// For values that are held while other foreign code runs, and for several values that are dropped
/// together.
///
/// # Examples
///
/// ```
/// use std::panic::{catch_unwind, resume_unwind};
/// use tidegate_core::unwind::Foreign;
///
/// struct Bad;
/// impl Drop for Bad {
///     fn drop(&mut self) {
///         resume_unwind(Box::new("second"));
///     }
/// }
/// let first = catch_unwind(|| {
///     let _held = Foreign::new(Bad);
///     resume_unwind(Box::new("first"));
/// });
/// assert_eq!(*first.unwrap_err().downcast::<&str>().unwrap(), "first");
/// ```
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign<T>(Option<T>);

impl<T> Foreign<T> {
    /// Wraps a value.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Returns the value.
    #[inline]
    pub fn into_inner(mut self) -> T {
        self.0.take().expect(THERE)
    }
}

impl<T> Deref for Foreign<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_ref().expect(THERE)
    }
}

impl<T> DerefMut for Foreign<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(THERE)
    }
}

impl<T> Borrow<T> for Foreign<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T> Drop for Foreign<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            in_drop(|| drop(value));
        }
    }
}

/// A collection of foreign values, dropped by [`drop_each`]: with std the panics of their
/// destructors end there.
///
/// When a destructor panics, a collection of std drops the other values, and aborts the process if
/// a second one panics.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, panic::resume_unwind};
/// use tidegate_core::unwind::DropEach;
///
/// struct Bad<'a>(&'a Cell<u32>);
/// impl Drop for Bad<'_> {
///     fn drop(&mut self) {
///         self.0.set(self.0.get() + 1);
///         resume_unwind(Box::new("quiet"));
///     }
/// }
/// let dropped = Cell::new(0);
/// drop(DropEach::new(vec![Bad(&dropped), Bad(&dropped)]));
/// assert_eq!(dropped.get(), 2);
/// ```
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DropEach<C: Default + IntoIterator>(C);

impl<C: Default + IntoIterator> DropEach<C> {
    /// Wraps a collection.
    #[inline]
    pub const fn new(values: C) -> Self {
        Self(values)
    }

    /// Returns the collection.
    #[inline]
    pub fn into_inner(mut self) -> C {
        mem::take(&mut self.0)
    }
}

impl<C: Default + IntoIterator> Default for DropEach<C> {
    #[inline]
    fn default() -> Self {
        Self(C::default())
    }
}

impl<C: Default + IntoIterator> Deref for DropEach<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C: Default + IntoIterator> DerefMut for DropEach<C> {
    #[inline]
    fn deref_mut(&mut self) -> &mut C {
        &mut self.0
    }
}

impl<C: Default + IntoIterator> Drop for DropEach<C> {
    #[inline]
    fn drop(&mut self) {
        if !mem::needs_drop::<C::Item>() {
            return;
        }
        let values = mem::take(&mut self.0).into_iter();
        // Most often the values were taken out before.
        if values.size_hint().1 != Some(0) {
            drop_each(values);
        }
    }
}
