//! A vector with its own index type, so that an index cannot be used with the wrong vector. Pure: no I/O, clock or
//! randomness.

use super::TableId;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// An index into an [`Indexed`] vector.
pub(super) trait IndexType: Copy {
    fn new(index: usize) -> Self;
    fn get(self) -> usize;
}

/// Declares a newtype that indexes one vector.
macro_rules! index_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $name(u32);

        impl $name {
            /// Converts a position into an index.
            pub(crate) fn new(index: usize) -> Self {
                // an event has at most 10,000 messages with at most 100,000 records each
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// Returns the position as a number.
            pub(crate) fn get(self) -> usize {
                self.0 as usize
            }
        }

        impl $crate::write::indexed::IndexType for $name {
            fn new(index: usize) -> Self {
                Self::new(index)
            }

            fn get(self) -> usize {
                self.get()
            }
        }
    };
}
pub(super) use index_type;

impl IndexType for TableId {
    fn new(index: usize) -> Self {
        Self::new(index)
    }

    fn get(self) -> usize {
        self.index()
    }
}

/// A vector indexed by `I`. An index returned by [`push`](Self::push) stays valid, because elements are never removed. Any
/// other index is a bug and causes a panic: the invocation fails, and its messages are redelivered.
#[derive(Debug, Clone)]
pub(super) struct Indexed<I, T> {
    elements: Vec<T>,
    index: PhantomData<I>,
}

impl<I: IndexType, T> Indexed<I, T> {
    pub(super) fn new(elements: Vec<T>) -> Self {
        Self { elements, index: PhantomData }
    }

    pub(super) fn push(&mut self, element: T) -> I {
        self.elements.push(element);
        I::new(self.elements.len() - 1)
    }

    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (I, &T)> {
        self.elements.iter().enumerate().map(|(index, element)| (I::new(index), element))
    }

    pub(super) fn indexes(&self) -> impl DoubleEndedIterator<Item = I> + use<I, T> {
        (0..self.elements.len()).map(I::new)
    }
}

impl<I: IndexType, T> Default for Indexed<I, T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

#[expect(clippy::indexing_slicing, reason = "an index comes from `push`, and nothing is removed")]
impl<I: IndexType, T> Index<I> for Indexed<I, T> {
    type Output = T;

    fn index(&self, index: I) -> &T {
        &self.elements[index.get()]
    }
}

#[expect(clippy::indexing_slicing, reason = "an index comes from `push`, and nothing is removed")]
impl<I: IndexType, T> IndexMut<I> for Indexed<I, T> {
    fn index_mut(&mut self, index: I) -> &mut T {
        &mut self.elements[index.get()]
    }
}
