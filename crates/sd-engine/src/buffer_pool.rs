//! Memory that is used again.

use std::sync::{Mutex, PoisonError};

use crate::tensor::{Maps, size};

/// Vectors that are kept at most, and their numbers: 256 MiB.
const KEPT: usize = 8;
const NUMBERS: usize = 1 << 26;

/// The memory of maps that are done, for later ones: fresh memory would be filled with zeros first.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Vec<Vec<f32>>>);

impl Shelf {
    /// Maps `[images, height, width, channels]` that hold any numbers: all have to be written. None
    /// where they were more than a network can ask for.
    pub fn take(&self, images: usize, sides: [usize; 3]) -> Option<Maps> {
        let count = images.checked_mul(size(sides)?)?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The shortest that is long enough; else one that has to be filled up.
        let fits = |values: &Vec<f32>| match values.len() >= count {
            true => Some((false, values.len())),
            false => (values.capacity() >= count).then_some((true, values.capacity())),
        };
        let fitting = kept.iter().enumerate().filter_map(|(at, values)| Some((fits(values)?, at)));
        let index = fitting.min().map(|(_, index)| index);
        let mut values = index.map(|index| kept.swap_remove(index)).unwrap_or_default();
        // Other threads do not wait until it is filled.
        drop(kept);
        values.resize(count, 0.0);
        let [height, width, channels] = sides;
        Some(Maps { images, height, width, channels, values, flat: false })
    }

    /// Keeps the memory of maps that are done.
    pub fn keep(&self, maps: Maps) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers: usize = kept.iter().map(Vec::capacity).sum();
        if numbers + maps.values.capacity() > NUMBERS {
            return;
        }
        kept.push(maps.values);
        if kept.len() > KEPT {
            let sizes = kept.iter().enumerate();
            let smallest = sizes.min_by_key(|(_, values)| values.capacity());
            let index = smallest.map_or(0, |(index, _)| index);
            kept.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_memory_that_is_long_enough_is_taken_again() {
        let shelf = Shelf::default();
        let maps = [40, 10, 20].map(|side| shelf.take(1, [side, 1, 1]).unwrap());
        let of_twenty = maps[2].values.as_ptr();
        maps.into_iter().for_each(|maps| shelf.keep(maps));
        let again = shelf.take(3, [2, 1, 2]).unwrap();
        assert_eq!((again.values.as_ptr(), again.values.len()), (of_twenty, 12));
        assert!(shelf.take(1, [usize::MAX, 2, 1]).is_none());
        (0..2 * KEPT).for_each(|_| shelf.keep(Maps { values: vec![0.0], ..again.clone() }));
        assert_eq!(shelf.0.lock().unwrap().len(), KEPT);
        assert!(shelf.take(1, [40, 1, 1]).unwrap().values.capacity() >= 40, "large ones stay");
    }
}
