//! Named streams of random numbers.
//!
//! A stream is ChaCha8 with a key of 32 bytes: three numbers and a purpose, eight bytes each,
//! little-endian, concatenated. Different names are different keys, and so independent streams. As a
//! draw depends only on the name, it is independent of threads, batches and earlier epochs, and an
//! interrupted epoch can resume anywhere.

use std::convert::Infallible;

use rand::{SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

/// A stream of random numbers, and the numbers of its name.
#[derive(Clone, Debug)]
pub struct Stream {
    random: ChaCha8Rng,
    numbers: [u64; 3],
}

impl Stream {
    /// The epoch of the stream of a sample.
    pub(crate) fn epoch(&self) -> u64 {
        self.numbers[1]
    }

    /// The stream that a sample has in all epochs.
    pub(crate) fn of_all_epochs(&self) -> Self {
        let [seed, _, sample] = self.numbers;
        named(b"sample\0\0", [seed, 0, sample])
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.random.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.random.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.random.try_fill_bytes(bytes)
    }
}

/// The stream of one image's augmentation in one epoch. `sample` is the image's index in its set,
/// not its position in the epoch.
pub(crate) fn of_sample(seed: u64, epoch: u64, sample: u64) -> Stream {
    named(b"augment\0", [seed, epoch, sample])
}

/// The stream of one image's partner in one epoch, and of the partner's augmentation.
pub(crate) fn of_partner(seed: u64, epoch: u64, sample: u64) -> Stream {
    named(b"partner\0", [seed, epoch, sample])
}

/// The stream that mixes the batch of a training step, counted from 0 over all epochs.
pub fn of_mix(seed: u64, step: u64) -> Stream {
    named(b"mix\0\0\0\0\0", [seed, step, 0])
}

/// The stream that shuffles an epoch.
pub(crate) fn of_shuffle(seed: u64, epoch: u64) -> Stream {
    named(b"shuffle\0", [seed, epoch, 0])
}

/// The stream of `purpose` and `numbers`.
pub(crate) fn named(purpose: &[u8; 8], numbers: [u64; 3]) -> Stream {
    let mut key = [0; 32];
    let (words, _) = key.as_chunks_mut::<8>();
    for (word, number) in words.iter_mut().zip(numbers) {
        *word = number.to_le_bytes();
    }
    words[3] = *purpose;
    Stream { random: ChaCha8Rng::from_seed(key), numbers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{Rng, RngExt};
    use std::collections::HashSet;

    #[test]
    fn every_part_of_the_name_matters() {
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

    /// Past runs are reproducible only while these numbers stay. The first was computed
    /// independently, by the definition of ChaCha8. The others also pin the distributions of `rand`,
    /// which may change between its versions.
    #[test]
    fn streams_are_stable() {
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
