//! Streams of random numbers that have a name.
//!
//! A stream is ChaCha8 under a key of 32 bytes: three numbers and a purpose, eight bytes each,
//! little-endian, one after another. Nothing is hashed or mixed: two different names are two
//! different keys, and ChaCha makes unrelated streams of them. As a draw depends on the name
//! alone, no thread, batch or earlier epoch has a say in it, and an interrupted epoch goes on
//! anywhere.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A stream of random numbers.
pub type Stream = ChaCha8Rng;

/// What one image of one epoch draws its augmentation from. `sample` is the image's index in its
/// set, not its place in the epoch.
pub(crate) fn of_sample(seed: u64, epoch: u64, sample: u64) -> Stream {
    named(b"augment\0", [seed, epoch, sample])
}

/// What one image of one epoch draws its partner and the partner's augmentation from.
pub(crate) fn of_partner(seed: u64, epoch: u64, sample: u64) -> Stream {
    named(b"partner\0", [seed, epoch, sample])
}

/// What a training step, counted from 0 over all epochs, mixes its batch by.
pub fn of_mix(seed: u64, step: u64) -> Stream {
    named(b"mix\0\0\0\0\0", [seed, step, 0])
}

/// What shuffles an epoch.
pub(crate) fn of_shuffle(seed: u64, epoch: u64) -> Stream {
    named(b"shuffle\0", [seed, epoch, 0])
}

/// A stream for another purpose, whose eight bytes keep it apart from the others.
pub(crate) fn named(purpose: &[u8; 8], numbers: [u64; 3]) -> Stream {
    let mut key = [0; 32];
    let (words, _) = key.as_chunks_mut::<8>();
    for (word, number) in words.iter_mut().zip(numbers) {
        *word = number.to_le_bytes();
    }
    words[3] = *purpose;
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{Rng, RngExt};
    use std::collections::HashSet;

    #[test]
    fn every_part_of_the_name_counts() {
        let mut firsts = HashSet::new();
        for seed in [0, 1, 1 << 40] {
            for epoch in 0..3 {
                for sample in [0, 1, 2, 49_999] {
                    assert!(firsts.insert(of_sample(seed, epoch, sample).next_u64()));
                }
                assert!(firsts.insert(of_shuffle(seed, epoch).next_u64()));
            }
        }
        assert_eq!(of_sample(1, 2, 3).next_u64(), of_sample(1, 2, 3).next_u64());
    }

    /// Runs already made are repeatable only as long as these numbers stay. The first was computed
    /// apart from this crate, by the definition of ChaCha8; the others also hold what `rand` makes
    /// of a stream, which it may change from one version to the next.
    #[test]
    fn the_streams_stay_as_they_are() {
        assert_eq!(of_sample(1, 2, 3).next_u64(), 11_176_121_722_097_623_209);
        let mut order = [0, 1, 2, 3, 4, 5, 6, 7];
        order.shuffle(&mut of_shuffle(1, 2));
        assert_eq!(order, [5, 3, 7, 1, 0, 2, 6, 4]);
        let mut stream = of_sample(1, 2, 3);
        let draws: Vec<i64> = (0..8).map(|_| stream.random_range(-4..=4)).collect();
        assert_eq!(draws, [1, -3, -1, 4, 4, 1, 1, -4]);
        let flips: Vec<bool> = (0..8).map(|_| stream.random_bool(0.5)).collect();
        assert_eq!(flips, [false, false, false, false, true, true, true, false]);
    }
}
