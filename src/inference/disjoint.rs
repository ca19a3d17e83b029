//! One mutable slice in the hands of several threads that write different parts of it.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice whose parts can be taken through a shared reference.
pub struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`; whoever takes parts promises that no two overlap.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}
// SAFETY: as for `&mut [T]`.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// A part of the slice. Panics if it is not inside.
    ///
    /// # Safety
    /// While the part is used, nobody else may take one that overlaps with it.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts are apart")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the slice that `self` has borrowed mutably; apart from others by the promise above.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
