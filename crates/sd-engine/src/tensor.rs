//! Feature maps, and what is done to their numbers one by one.

use crate::Batch;
use crate::buffer_pool::Shelf;
use crate::simd::{Floats, Work, with_floats};

/// Numbers that a map of one image has at most: a file that asks for more is refused.
const LARGEST: usize = 1 << 26;
/// Rows and columns that are exchanged together.
const SQUARE: usize = 16;

/// Numbers of a map of these sides; none where it had none, or more than a network can ask for.
pub fn size([height, width, channels]: [usize; 3]) -> Option<usize> {
    let each = height.checked_mul(width)?.checked_mul(channels)?;
    (1..=LARGEST).contains(&each).then_some(each)
}

/// Feature maps of a batch, channels-last: `[N, H, W, C]`.
#[derive(Debug, Clone)]
pub struct Maps {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub values: Vec<f32>,
    /// Whether they are vectors `[N, C]`.
    pub flat: bool,
}

impl Maps {
    /// Zeros; none where they were more than a network can ask for.
    pub fn zeros(images: usize, [height, width, channels]: [usize; 3]) -> Option<Self> {
        let each = size([height, width, channels])?;
        let values = vec![0.0; images.checked_mul(each)?];
        Some(Self { images, height, width, channels, values, flat: false })
    }

    /// Of a batch `[N, C, H, W]`.
    pub fn of(batch: Batch) -> Option<Self> {
        let &[images, channels, height, width] = batch.shape() else { return None };
        let each = size([height, width, channels])?;
        let channels_last = batch.is_channels_last();
        let (_, mut values) = batch.into_parts();
        if !channels_last {
            let mut exchanged = vec![0.0; values.len()];
            for (from, to) in values.chunks_exact(each).zip(exchanged.chunks_exact_mut(each)) {
                exchange(from, to, channels, height * width);
            }
            values = exchanged;
        }
        Some(Self { images, height, width, channels, values, flat: false })
    }

    /// As a batch `[N, C]`, or `[N, C, H, W]` that stays channels-last for the next segment.
    pub fn into_batch(self) -> Option<Batch> {
        if self.flat {
            return Batch::new(vec![self.images, self.channels], self.values);
        }
        let shape = vec![self.images, self.channels, self.height, self.width];
        Batch::channels_last(shape, self.values)
    }

    /// The sides of a map.
    pub fn sides(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    fn each(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn channels_first(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.values.len()];
        let each = self.each();
        for (from, to) in self.values.chunks_exact(each).zip(values.chunks_exact_mut(each)) {
            exchange(from, to, self.height * self.width, self.channels);
        }
        values
    }

    /// A vector for each image, in the order of `[C, H, W]`.
    pub fn flattened(&self) -> Self {
        let values = self.channels_first();
        Self { height: 1, width: 1, channels: self.each(), values, flat: true, ..*self }
    }

    /// Channels and rows exchanged: `[N, C, H, W]` to `[N, H, C, W]`.
    pub fn turned(&self) -> Self {
        let [height, width, channels] = self.sides();
        let mut values = Vec::with_capacity(self.values.len());
        for map in self.values.chunks_exact(self.each()) {
            for c in 0..channels {
                for x in 0..width {
                    values.extend((0..height).map(|y| map[(y * width + x) * channels + c]));
                }
            }
        }
        Self { height: channels, channels: height, values, ..*self }
    }

    /// The mean of each channel: `[N, C, 1, 1]`.
    pub fn averaged(&self) -> Self {
        let mut values = vec![0.0; self.images * self.channels];
        with_floats(Average { maps: self, to: &mut values });
        Self { height: 1, width: 1, values, ..*self }
    }

    /// `of(number, other)` of each; a side of 1 of `other` stands for every place along it. None
    /// where the sides do not fit.
    pub fn with(&self, other: &Self, of: impl Fn(f32, f32) -> f32, shelf: &Shelf) -> Option<Self> {
        let fits = |(side, other)| other == side || other == 1;
        let mut sides = self.sides().into_iter().zip(other.sides());
        let alike = self.images == other.images && self.flat == other.flat;
        if !alike || !sides.all(fits) {
            return None;
        }
        let mut output = shelf.take(self.images, self.sides())?;
        output.flat = self.flat;
        with_floats(Both { maps: self, other, of, to: &mut output.values });
        Some(output)
    }
}

struct Average<'a> {
    maps: &'a Maps,
    to: &'a mut [f32],
}

impl Work for Average<'_> {
    #[inline(always)]
    fn run<F: Floats>(self) {
        let Self { maps, to } = self;
        let (channels, positions) = (maps.channels, maps.height * maps.width);
        let images = maps.values.chunks_exact(positions * channels);
        for (map, sums) in images.zip(to.chunks_exact_mut(channels)) {
            for position in map.chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(position) {
                    *sum += value;
                }
            }
            for sum in sums {
                *sum /= positions as f32;
            }
        }
    }
}

struct Both<'a, Of> {
    maps: &'a Maps,
    other: &'a Maps,
    of: Of,
    to: &'a mut [f32],
}

impl<Of: Fn(f32, f32) -> f32> Work for Both<'_, Of> {
    #[inline(always)]
    fn run<F: Floats>(self) {
        let Self { maps, other, of, to } = self;
        let lines = maps.values.chunks_exact(maps.channels);
        let lines = lines.zip(to.chunks_exact_mut(maps.channels));
        let (mut row, mut x) = (0, 0);
        for (numbers, to) in lines {
            let (image, y) = (row / maps.height, row % maps.height);
            let line = image * other.height + y.min(other.height - 1);
            let at = line * other.width + x.min(other.width - 1);
            let others = &other.values[at * other.channels..][..other.channels];
            if let [one] = others {
                for (number, to) in numbers.iter().zip(to) {
                    *to = of(*number, *one);
                }
            } else {
                for ((number, other), to) in numbers.iter().zip(others).zip(to) {
                    *to = of(*number, *other);
                }
            }
            x += 1;
            if x == maps.width {
                (row, x) = (row + 1, 0);
            }
        }
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn exchange(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    if rows == 1 || columns == 1 {
        return to.copy_from_slice(from);
    }
    if rows < 4 {
        for (row, from) in from.chunks_exact(columns).enumerate() {
            let to = to[row..].iter_mut().step_by(rows);
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
        return;
    }
    // By squares: one way or the other, neighbours lie far apart, but a square stays in the cache.
    for first in (0..rows).step_by(SQUARE) {
        let height = SQUARE.min(rows - first);
        for start in (0..columns).step_by(SQUARE) {
            for column in start..columns.min(start + SQUARE) {
                let to = &mut to[column * rows + first..][..height];
                let from = from[first * columns + column..].iter().step_by(columns);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        Batch::new(vec![2, 3, 2, 2], (0..24).map(|value| value as f32).collect()).unwrap()
    }

    /// Values in the order of `[N, C, H, W]`.
    fn in_order(maps: &Maps) -> Vec<f32> {
        maps.flattened().values
    }

    #[test]
    fn a_batch_comes_back_channels_last_and_is_flattened_in_its_own_order() {
        let maps = Maps::of(batch()).unwrap();
        assert_eq!(maps.values[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(in_order(&maps), batch().values());
        assert_eq!(maps.averaged().values, [1.5, 5.5, 9.5, 13.5, 17.5, 21.5]);
        let between = maps.clone().into_batch().unwrap();
        assert_eq!((between.shape(), between.is_channels_last()), (batch().shape(), true));
        let again = Maps::of(between).unwrap();
        assert_eq!((again.sides(), again.values), (maps.sides(), maps.values));
    }

    #[test]
    fn maps_larger_than_a_square_come_back() {
        let values = (0..2 * 37 * 5 * 7).map(|value| value as f32).collect();
        let batch = Batch::new(vec![2, 37, 5, 7], values).unwrap();
        let maps = Maps::of(batch.clone()).unwrap();
        assert_eq!(maps.values[36], batch.values()[36 * 35]);
        assert!(in_order(&maps) == batch.values());
    }

    #[test]
    fn channels_and_rows_are_exchanged() {
        let turned = Maps::of(batch()).unwrap().turned();
        assert_eq!(turned.sides(), [3, 2, 2]);
        assert_eq!(in_order(&turned)[..12], [0., 1., 4., 5., 8., 9., 2., 3., 6., 7., 10., 11.]);
    }

    #[test]
    fn a_side_of_one_stands_for_every_place_and_others_do_not_fit() {
        let (maps, shelf) = (|| Maps::of(batch()).unwrap(), Shelf::default());
        let product = maps().with(&maps().averaged(), |a, b| a * b, &shelf).unwrap();
        assert_eq!(product.values[..4], [0.0, 22.0, 76.0, 1.5]);
        let column = Batch::new(vec![2, 1, 2, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let sum = maps().with(&Maps::of(column).unwrap(), |a, b| a + b, &shelf).unwrap();
        let expected = [1., 2., 4., 5., 5., 6., 8., 9., 9., 10., 12., 13.];
        assert_eq!(in_order(&sum)[..12], expected);
        let other = Maps::of(Batch::new(vec![2, 2, 1, 1], vec![0.0; 4]).unwrap()).unwrap();
        assert!(maps().with(&other, |a, _| a, &shelf).is_none());
        let vectors = Maps { flat: true, ..maps().averaged() };
        assert!(maps().with(&vectors, |a, _| a, &shelf).is_none(), "ONNX aligns vectors otherwise");
    }
}
