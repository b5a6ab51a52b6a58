//! Feature maps, and what is done to their numbers one by one.

use crate::Batch;

/// Numbers that a map of one image has at most: a file that asks for more is refused.
const LARGEST: usize = 1 << 26;
/// Rows and columns that are exchanged together.
const SQUARE: usize = 16;

/// Numbers of a map of these sides; none where they were more than a network can ask for.
pub fn size([height, width, channels]: [usize; 3]) -> Option<usize> {
    height.checked_mul(width)?.checked_mul(channels).filter(|&each| each <= LARGEST)
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
        let each = size([height, width, channels])?.max(1);
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
        let each = self.each().max(1);
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
        for map in self.values.chunks_exact(self.each().max(1)) {
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
        let positions = self.height * self.width;
        let mut values = Vec::with_capacity(self.images * self.channels);
        for map in self.values.chunks_exact(self.each().max(1)) {
            let mut sums = vec![0.0; self.channels];
            for position in map.chunks_exact(self.channels) {
                sums.iter_mut().zip(position).for_each(|(sum, value)| *sum += value);
            }
            values.extend(sums.into_iter().map(|sum: f32| sum / positions as f32));
        }
        Self { height: 1, width: 1, values, ..*self }
    }

    /// `of(number, other)` of each; a side of 1 of `other` stands for every place along it. None
    /// where the sides do not fit.
    pub fn with(mut self, other: &Self, of: impl Fn(f32, f32) -> f32) -> Option<Self> {
        let fits = |(side, other)| other == side || other == 1;
        let sides = self.sides().into_iter().zip(other.sides());
        let alike = self.images == other.images && self.flat == other.flat;
        if !alike || !sides.clone().all(fits) {
            return None;
        }
        if self.sides() == other.sides() {
            let pairs = self.values.iter_mut().zip(&other.values);
            pairs.for_each(|(number, other)| *number = of(*number, *other));
            return Some(self);
        }
        let [rows, columns, channels] = other.sides();
        let lines = self.values.chunks_exact_mut(self.channels.max(1)).enumerate();
        for (line, numbers) in lines {
            let (image, y) = (line / (self.height * self.width), line / self.width % self.height);
            let x = line % self.width;
            let at = (image * rows + y.min(rows - 1)) * columns + x.min(columns - 1);
            let others = &other.values[at * channels..][..channels];
            if let [one] = others {
                numbers.iter_mut().for_each(|number| *number = of(*number, *one));
            } else {
                numbers.iter_mut().zip(others).for_each(|(n, other)| *n = of(*n, *other));
            }
        }
        Some(self)
    }
}

/// `[rows, columns]` as `[columns, rows]`.
fn exchange(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    if rows == 1 || columns == 1 {
        return to.copy_from_slice(from);
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
        let maps = || Maps::of(batch()).unwrap();
        let product = maps().with(&maps().averaged(), |a, b| a * b).unwrap();
        assert_eq!(product.values[..4], [0.0, 22.0, 76.0, 1.5]);
        let column = Batch::new(vec![2, 1, 2, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let sum = maps().with(&Maps::of(column).unwrap(), |a, b| a + b).unwrap();
        let expected = [1., 2., 4., 5., 5., 6., 8., 9., 9., 10., 12., 13.];
        assert_eq!(in_order(&sum)[..12], expected);
        let other = Maps::of(Batch::new(vec![2, 2, 1, 1], vec![0.0; 4]).unwrap()).unwrap();
        assert!(maps().with(&other, |a, _| a).is_none());
        let vectors = Maps { flat: true, ..maps().averaged() };
        assert!(maps().with(&vectors, |a, _| a).is_none(), "ONNX aligns vectors otherwise");
    }
}
