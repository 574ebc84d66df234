//! `Debug` of types whose content is foreign, or too much to show.

/// Implements `Debug` so that it shows the type's name alone.
macro_rules! debug_by_name {
    ($name:ident<$($param:tt $(: $bound:path)?),+>) => {
        impl<$($param $(: $bound)?),+> core::fmt::Debug for $name<$($param),+> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use debug_by_name;
