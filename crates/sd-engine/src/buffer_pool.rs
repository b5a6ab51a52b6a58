//! Reuse of memory.

use std::sync::{Mutex, PoisonError};

/// Maximum number of buffers kept.
const MAX_BUFFERS: usize = 8;

/// Buffers of tensors that are no longer needed. New memory would be zeroed first. The default keeps
/// nothing.
#[derive(Debug, Default)]
pub struct BufferPool {
    kept: Mutex<Vec<Vec<f32>>>,
    /// Maximum number of values kept.
    max_values: usize,
}

impl BufferPool {
    /// A pool that keeps at most this number of values.
    pub fn new(max_values: usize) -> Self {
        Self { kept: Mutex::default(), max_values }
    }

    /// A buffer of `len` arbitrary values.
    pub fn acquire(&self, len: usize) -> Vec<f32> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // The shortest one that is long enough, else one that must be extended.
        let fits = |buffer: &Vec<f32>| match buffer.len() >= len {
            true => Some((false, buffer.len())),
            false => (buffer.capacity() >= len).then_some((true, buffer.capacity())),
        };
        let fitting =
            kept.iter().enumerate().filter_map(|(index, buffer)| Some((fits(buffer)?, index)));
        let index = fitting.min().map(|(_, index)| index);
        let mut buffer = index.map(|index| kept.swap_remove(index)).unwrap_or_default();
        // Other threads need not wait for the resize.
        drop(kept);
        buffer.resize(len, 0.0);
        buffer
    }

    /// Takes a buffer back. If the pool is full, the smallest one is freed.
    pub fn recycle(&self, buffer: Vec<f32>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = kept.iter().map(Vec::capacity).sum();
        if total + buffer.capacity() > self.max_values {
            return;
        }
        kept.push(buffer);
        if kept.len() > MAX_BUFFERS {
            let buffers = kept.iter().enumerate();
            let smallest = buffers.min_by_key(|(_, buffer)| buffer.capacity());
            let index = smallest.map_or(0, |(index, _)| index);
            kept.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_buffer_that_is_long_enough_is_reused() {
        let pool = BufferPool::new(1 << 10);
        let buffers = [40, 10, 20].map(|len| pool.acquire(len));
        let twenty = buffers[2].as_ptr();
        buffers.into_iter().for_each(|buffer| pool.recycle(buffer));
        let again = pool.acquire(12);
        assert_eq!((again.as_ptr(), again.len()), (twenty, 12));
        (0..2 * MAX_BUFFERS).for_each(|_| pool.recycle(vec![0.0]));
        assert_eq!(pool.kept.lock().unwrap().len(), MAX_BUFFERS);
        assert!(pool.acquire(40).capacity() >= 40, "large buffers stay");
    }
}
