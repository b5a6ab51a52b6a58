//! Reuse of the memory of batches.

use crossbeam_channel::{Receiver, Sender};
use std::ops::Deref;

/// The pixels of a [`Batch`](super::Batch), a slice. On drop, the memory returns to the loader, if
/// it still exists, for a later batch: fresh memory costs a page fault per page.
#[derive(Debug)]
pub struct BatchPixels {
    values: Vec<f32>,
    home: Option<Sender<Vec<f32>>>,
}

impl Deref for BatchPixels {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl AsMut<[f32]> for BatchPixels {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

/// A clone has its own memory, which does not return to the loader.
impl Clone for BatchPixels {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), home: None }
    }
}

impl PartialEq for BatchPixels {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Drop for BatchPixels {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // Freed here if the loader is gone or the pool is full.
            let _ = home.try_send(std::mem::take(&mut self.values));
        }
    }
}

/// Buffers for later batches.
#[derive(Debug)]
pub(super) struct BufferPool {
    free: Receiver<Vec<f32>>,
    home: Sender<Vec<f32>>,
}

impl BufferPool {
    /// Keeps up to `capacity` buffers.
    pub(super) fn new(capacity: usize) -> Self {
        let (home, free) = crossbeam_channel::bounded(capacity);
        Self { free, home }
    }

    /// A buffer of `length` values, unspecified after reuse.
    pub(super) fn acquire(&self, length: usize) -> Vec<f32> {
        let mut values = self.free.try_recv().unwrap_or_default();
        values.resize(length, 0.0);
        values
    }

    /// Wraps `values`, which return to the pool on drop.
    pub(super) fn wrap(&self, values: Vec<f32>) -> BatchPixels {
        BatchPixels { values, home: Some(self.home.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_buffers_are_reused() {
        let pool = BufferPool::new(1);
        let (first, second) = (pool.acquire(10), pool.acquire(10));
        let address = first.as_ptr();
        let (first, second) = (pool.wrap(first), pool.wrap(second));
        let copy = first.clone();
        assert!(copy == first && copy.as_ptr() != address);
        drop(first);
        // The pool keeps one; the second and the copy are freed.
        drop((second, copy));
        let again = pool.acquire(8);
        assert_eq!((again.as_ptr(), again.len()), (address, 8));
        assert!(again.capacity() >= 10);
        let other = pool.acquire(8);
        assert_ne!(other.as_ptr(), address);
    }

    #[test]
    fn pixels_outlive_their_loader() {
        let pool = BufferPool::new(1);
        let pixels = pool.wrap(vec![1.0, 2.0]);
        drop(pool);
        assert_eq!(*pixels, [1.0, 2.0]);
    }
}
