//! The order of a shuffled epoch.

use crate::random;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// How an epoch is shuffled: all images alike, or shard by shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EpochOrder {
    /// Shard of each image, or empty.
    shards: Vec<u32>,
    /// Images that wait to be drawn.
    buffer: usize,
}

impl EpochOrder {
    /// Shuffles the shards, and the images as they come from them through a buffer of so many, so that
    /// shards are read one after the other. `shards` holds the shard of each image.
    pub(crate) fn by_shard(shards: Vec<u32>, buffer: usize) -> Self {
        Self { shards, buffer }
    }

    /// Whether it orders so many images.
    pub(crate) fn fits(&self, count: usize) -> bool {
        self.shards.is_empty() || self.shards.len() == count
    }

    pub(super) fn select(&self, indices: &[usize]) -> Self {
        let shards = indices.iter().filter_map(|&index| self.shards.get(index).copied());
        Self { shards: shards.collect(), buffer: self.buffer }
    }

    /// A permutation of `0..count`, which depends on seed and epoch alone. A buffer for all images
    /// shuffles them all alike.
    pub(super) fn shuffled(&self, count: usize, seed: u64, epoch: u64) -> Vec<usize> {
        let mut random = random::of_shuffle(seed, epoch);
        let mut order: Vec<usize> = (0..count).collect();
        if self.shards.is_empty() || self.buffer >= count {
            order.shuffle(&mut random);
            return order;
        }
        order.sort_by_key(|&image| self.shards[image]);
        let mut shards: Vec<&[usize]> =
            order.chunk_by(|&a, &b| self.shards[a] == self.shards[b]).collect();
        shards.shuffle(&mut random);
        let mut shuffled = shards.concat();
        // Position `place` takes one of the `buffer` images that wait.
        for place in 0..count {
            let waiting = self.buffer.clamp(1, count - place);
            shuffled.swap(place, place + random.random_range(..waiting));
        }
        shuffled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty images, ten in each shard, interleaved.
    fn order(buffer: usize) -> EpochOrder {
        EpochOrder::by_shard((0..40).map(|image| image % 4).collect(), buffer)
    }

    #[test]
    fn an_epoch_is_a_permutation_of_its_own() {
        let order = order(5);
        let (first, again, next) =
            (order.shuffled(40, 1, 0), order.shuffled(40, 1, 0), order.shuffled(40, 1, 1));
        assert_eq!(first, again);
        assert_ne!(first, next);
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn shards_are_read_one_after_the_other() {
        let shuffled = order(5).shuffled(40, 3, 0);
        let shard = |place: usize| shuffled[place] % 4;
        // An image of a later shard comes only when no more than a buffer of the earlier one is left.
        assert!((0..5).all(|place| shard(place) == shard(0)));
        let last = shuffled.iter().rposition(|image| image % 4 == shard(0)).unwrap();
        assert!(last < 40, "{shuffled:?}");
        let first_ten = (0..10).filter(|&place| shard(place) == shard(0)).count();
        assert!((6..=10).contains(&first_ten), "{shuffled:?}");
        assert!(!shuffled.is_sorted_by_key(|image| image % 4));
    }

    #[test]
    fn a_buffer_for_all_images_shuffles_them_alike() {
        assert_eq!(order(40).shuffled(40, 1, 2), EpochOrder::default().shuffled(40, 1, 2));
    }
}
