//! The shard of each batch that one of several processes takes.

use std::ops::Range;

/// The part of each batch that a process takes: consecutive images, as many as the other processes or
/// one more or less. Order, augmentation and batches are those of the whole, but a last batch of which
/// the process would take no image is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The process, from 0.
    index: usize,
    /// Number of processes.
    count: usize,
}

impl Shard {
    /// The whole batch.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Shard `index`, from 0, of `count`.
    ///
    /// # Panics
    /// Unless `index` is below `count`.
    pub fn new(index: usize, count: usize) -> Self {
        assert!(index < count, "shard {index} of {count}");
        Self { index, count }
    }

    /// Its positions in a batch of `images`.
    pub(super) fn of(self, images: usize) -> Range<usize> {
        let start = |index| index * images / self.count;
        start(self.index)..start(self.index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_even_and_make_up_the_whole() {
        for (images, count) in [(12, 4), (10, 4), (3, 4), (7, 1)] {
            let shards = (0..count).map(|index| Shard::new(index, count).of(images));
            let lengths: Vec<usize> = shards.clone().map(|shard| shard.len()).collect();
            let (least, most) = (lengths.iter().min(), lengths.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{images} by {count}: {lengths:?}");
            assert!(shards.flatten().eq(0..images), "{images} by {count}");
        }
    }
}
