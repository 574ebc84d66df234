//! What every stage is to the next.

use core::task::{Context, Poll};

use alloc::boxed::Box;

use crate::{flow::Flow, item::Item};

/// The stages of a flow so far, as the next one sees them. Implemented by this crate's stages only.
///
/// A stage owns those before it, so a flow is one value, and its run one future. Asked for an item, a stage asks those
/// before it; a poll that is answered "not now" has given *every* stage its chance to go on.
///
/// # Examples
///
/// A part of a flow, as a function:
///
/// ```
/// use tidegate_pipeline::{Pipeline, Stage, Wait};
///
/// fn doubled<'h>(
///     numbers: Pipeline<'h, impl Stage<Item = u32>>,
/// ) -> Pipeline<'h, impl Stage<Item = u32>> {
///     numbers.map("double", |n| 2 * n)
/// }
///
/// assert_eq!(doubled(Pipeline::from_iter([1, 2])).collect().wait().unwrap(), [2, 4]);
/// ```
pub trait Stage {
    /// What the stage gives to the next.
    type Item;

    /// Gives the next item. `Pending` and the end mean that everything before has been driven, too. The end is given
    /// again and again.
    #[doc(hidden)]
    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<Self::Item>>>;

    /// Goes on as far as possible while nobody has room for an item.
    #[doc(hidden)]
    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>);
}

impl<S: Stage + ?Sized> Stage for Box<S> {
    type Item = S::Item;

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        flow: &mut Flow<'_>,
    ) -> Poll<Option<Item<S::Item>>> {
        (**self).poll_next(cx, flow)
    }

    fn drive(&mut self, cx: &mut Context<'_>, flow: &mut Flow<'_>) {
        (**self).drive(cx, flow);
    }
}

/// Implements `Debug` by the type's name: what is inside is foreign, or would be too much.
macro_rules! debug_by_name {
    ($($name:ident<$($param:tt),+>),+ $(,)?) => {
        $(impl<$($param),+> core::fmt::Debug for $name<$($param),+> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}
pub(crate) use debug_by_name;
