//! Channels-last tensors.

use crate::Batch;
use crate::buffer_pool::BufferPool;

/// Maximum number of values per image, against malformed files.
const MAX_IMAGE_LEN: usize = 1 << 26;
/// Rows and columns of a block that is transposed at once.
const TRANSPOSE_BLOCK: usize = 16;

/// Values of an image `[H, W, C]`; `None` if there are none, or too many.
pub fn image_len([height, width, channels]: [usize; 3]) -> Option<usize> {
    let len = height.checked_mul(width)?.checked_mul(channels)?;
    (1..=MAX_IMAGE_LEN).contains(&len).then_some(len)
}

/// Activations of a batch, `[N, H, W, C]`.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub values: Vec<f32>,
    /// Whether it stands for vectors `[N, C]`.
    pub is_vector: bool,
}

impl Tensor {
    /// Zeros; `None` if the image is empty or too large.
    pub fn zeros(images: usize, shape: [usize; 3]) -> Option<Self> {
        let len = images.checked_mul(image_len(shape)?)?;
        Some(Self::new(images, shape, vec![0.0; len]))
    }

    /// A tensor of arbitrary values in a recycled buffer, all of which must be overwritten; `None` if
    /// the image is empty or too large.
    pub fn acquire(buffers: &BufferPool, images: usize, shape: [usize; 3]) -> Option<Self> {
        let len = images.checked_mul(image_len(shape)?)?;
        Some(Self::new(images, shape, buffers.acquire(len)))
    }

    fn new(images: usize, [height, width, channels]: [usize; 3], values: Vec<f32>) -> Self {
        Self { images, height, width, channels, values, is_vector: false }
    }

    /// Converts a batch `[N, C, H, W]` of either layout.
    pub fn from_batch(batch: Batch) -> Option<Self> {
        let &[images, channels, height, width] = batch.shape() else { return None };
        let shape = [height, width, channels];
        let len = image_len(shape)?;
        let is_channels_last = batch.is_channels_last();
        let (_, mut values) = batch.into_parts();
        if !is_channels_last {
            let mut transposed = vec![0.0; values.len()];
            for (from, to) in values.chunks_exact(len).zip(transposed.chunks_exact_mut(len)) {
                transpose(from, to, channels, height * width);
            }
            values = transposed;
        }
        Some(Self::new(images, shape, values))
    }

    /// Converts to a batch `[N, C]`, or `[N, C, H, W]` in channels-last layout.
    pub fn into_batch(self) -> Option<Batch> {
        let shape = self.batch_shape();
        match self.is_vector {
            true => Batch::new(shape, self.values),
            false => Batch::channels_last(shape, self.values),
        }
    }

    /// `[H, W, C]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// `[H, W]`.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// `[N, C, H, W]`, or `[N, C]` of vectors.
    pub fn batch_shape(&self) -> Vec<usize> {
        match self.is_vector {
            true => vec![self.images, self.channels],
            false => vec![self.images, self.channels, self.height, self.width],
        }
    }

    /// Bytes of the buffer beyond the values.
    pub fn excess(&self) -> usize {
        (self.values.capacity() - self.values.len()) * size_of::<f32>()
    }

    fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Vectors `[N, C · H · W]`, in this order.
    pub fn flatten(&self) -> Self {
        let (mut values, len) = (vec![0.0; self.values.len()], self.image_len());
        for (from, to) in self.values.chunks_exact(len).zip(values.chunks_exact_mut(len)) {
            transpose(from, to, self.height * self.width, self.channels);
        }
        Self { height: 1, width: 1, channels: len, values, is_vector: true, ..*self }
    }

    /// Maps `[N, C, 1, 1]` of vectors `[N, C]`; `None` of maps.
    pub fn unflatten(&self) -> Option<Self> {
        self.is_vector.then(|| Self { is_vector: false, ..self.clone() })
    }

    /// Swaps channels and rows: `[N, C, H, W]` to `[N, H, C, W]`.
    pub fn swap_channels_and_rows(&self) -> Self {
        let [height, width, channels] = self.shape();
        let mut values = Vec::with_capacity(self.values.len());
        for image in self.values.chunks_exact(self.image_len()) {
            for c in 0..channels {
                for x in 0..width {
                    values.extend((0..height).map(|y| image[(y * width + x) * channels + c]));
                }
            }
        }
        Self { height: channels, channels: height, values, ..*self }
    }
}

/// Transposes `[rows, columns]` to `[columns, rows]`.
fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
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
    // Either the reads or the writes are far apart, but a block stays in the cache.
    for first_row in (0..rows).step_by(TRANSPOSE_BLOCK) {
        let height = TRANSPOSE_BLOCK.min(rows - first_row);
        for first_column in (0..columns).step_by(TRANSPOSE_BLOCK) {
            for column in first_column..columns.min(first_column + TRANSPOSE_BLOCK) {
                let to = &mut to[column * rows + first_row..][..height];
                let from = from[first_row * columns + column..].iter().step_by(columns);
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

    #[test]
    fn a_batch_becomes_channels_last_and_is_flattened_channels_first() {
        let tensor = Tensor::from_batch(batch()).unwrap();
        assert_eq!(tensor.values[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(tensor.flatten().values, batch().values());
        let converted = tensor.clone().into_batch().unwrap();
        assert_eq!((converted.shape(), converted.is_channels_last()), (batch().shape(), true));
        let again = Tensor::from_batch(converted).unwrap();
        assert_eq!((again.shape(), again.values), (tensor.shape(), tensor.values));
    }

    #[test]
    fn tensors_larger_than_a_transpose_block_are_converted_back() {
        let values = (0..2 * 37 * 5 * 7).map(|value| value as f32).collect();
        let batch = Batch::new(vec![2, 37, 5, 7], values).unwrap();
        let tensor = Tensor::from_batch(batch.clone()).unwrap();
        assert_eq!(tensor.values[36], batch.values()[36 * 35]);
        assert!(tensor.flatten().values == batch.values());
    }

    #[test]
    fn channels_and_rows_are_swapped() {
        let swapped = Tensor::from_batch(batch()).unwrap().swap_channels_and_rows();
        assert_eq!(swapped.shape(), [3, 2, 2]);
        let expected = [0., 1., 4., 5., 8., 9., 2., 3., 6., 7., 10., 11.];
        assert_eq!(swapped.flatten().values[..12], expected);
    }
}
