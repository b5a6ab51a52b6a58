//! The memory of batches, used again.

use crossbeam_channel::{Receiver, Sender};
use std::ops::Deref;

/// The pixels of a [`Batch`](super::Batch), a slice. When it is dropped its memory goes back to the
/// loader, if that still exists, for a later batch: the system hands out fresh memory page by page,
/// each at a cost.
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

/// A copy has memory of its own, which no loader waits for.
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
            // Refused by a loader that is gone or has enough: then it is freed here.
            let _ = home.try_send(std::mem::take(&mut self.values));
        }
    }
}

/// Buffers that have come back.
#[derive(Debug)]
pub(super) struct Recycling {
    back: Receiver<Vec<f32>>,
    home: Sender<Vec<f32>>,
}

impl Recycling {
    /// Keeps up to `most` buffers.
    pub(super) fn new(most: usize) -> Self {
        let (home, back) = crossbeam_channel::bounded(most);
        Self { back, home }
    }

    /// `length` values, which may be those of an earlier batch.
    pub(super) fn take(&self, length: usize) -> Vec<f32> {
        let mut values = self.back.try_recv().unwrap_or_default();
        values.resize(length, 0.0);
        values
    }

    /// `values` until they are dropped.
    pub(super) fn lend(&self, values: Vec<f32>) -> BatchPixels {
        BatchPixels { values, home: Some(self.home.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_is_used_again() {
        let recycling = Recycling::new(1);
        let (first, second) = (recycling.take(10), recycling.take(10));
        let address = first.as_ptr();
        let (first, second) = (recycling.lend(first), recycling.lend(second));
        let copy = first.clone();
        assert!(copy == first && copy.as_ptr() != address);
        drop(first);
        // One is kept; what no place is left for, and the copy, are freed.
        drop((second, copy));
        let again = recycling.take(8);
        assert_eq!((again.as_ptr(), again.len()), (address, 8));
        assert!(again.capacity() >= 10);
        let other = recycling.take(8);
        assert_ne!(other.as_ptr(), address);
    }

    #[test]
    fn pixels_outlive_their_loader() {
        let recycling = Recycling::new(1);
        let pixels = recycling.lend(vec![1.0, 2.0]);
        drop(recycling);
        assert_eq!(*pixels, [1.0, 2.0]);
    }
}
