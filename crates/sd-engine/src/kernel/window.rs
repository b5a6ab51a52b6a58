//! Sliding windows of convolutions and pooling, and padding.

use std::borrow::Cow;
use std::ops::Range;

use crate::tensor::{Tensor, image_len};

/// Largest accepted kernel size and stride, against malformed files.
const MAX_SIZE: usize = 64;

/// A sliding window; every field is `[rows, columns]`.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub pad_before: [usize; 2],
    /// Padding below and to the right.
    pub pad_after: [usize; 2],
}

impl Window {
    /// Whether sizes are in range and no window lies in the padding alone.
    pub fn is_valid(&self) -> bool {
        (0..2).all(|axis| {
            (1..=MAX_SIZE).contains(&self.kernel[axis])
                && (1..=MAX_SIZE).contains(&self.stride[axis])
                && self.pad_before[axis].max(self.pad_after[axis]) < self.kernel[axis]
        })
    }

    /// Number of positions of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Rows and columns of the output; `None` if the kernel is larger than the padded input.
    pub fn output_size(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        let size = |axis: usize, size: usize| {
            let padded = size.checked_add(self.pad_before[axis] + self.pad_after[axis])?;
            Some(padded.checked_sub(self.kernel[axis])? / self.stride[axis] + 1)
        };
        Some([size(0, height)?, size(1, width)?])
    }

    /// Kernel positions along an axis that lie within an input of `size`, at an output position.
    pub fn valid_taps(&self, axis: usize, output: usize, size: usize) -> Range<usize> {
        let start = output * self.stride[axis];
        let first = self.pad_before[axis].saturating_sub(start);
        let end = (size + self.pad_before[axis]).saturating_sub(start).min(self.kernel[axis]);
        first..end.max(first)
    }
}

/// A padded input `[N, H, W, C]`.
#[derive(Debug)]
pub struct Padded<'a, T: Copy> {
    pub values: Cow<'a, [T]>,
    window: &'a Window,
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Padded<'a, f32> {
    /// Pads with zeros, without a copy if the window has no padding; `None` if the result is too
    /// large.
    pub fn zeros(input: &'a Tensor, window: &'a Window) -> Option<Self> {
        if window.pad_before == [0; 2] && window.pad_after == [0; 2] {
            let &Tensor { images, height, width, channels, .. } = input;
            let values = Cow::Borrowed(&input.values[..]);
            return Some(Self { values, window, images, height, width, channels });
        }
        Self::convert(input, window, input.channels, 0.0, |from, to| to.copy_from_slice(from))
    }
}

impl<'a, T: Copy> Padded<'a, T> {
    /// Pads with `padding` and converts each row by `convert(from, to)` to values with this number
    /// of `channels`; `None` if the result is too large.
    pub fn convert(
        input: &Tensor,
        window: &'a Window,
        channels: usize,
        padding: T,
        convert: impl Fn(&[f32], &mut [T]),
    ) -> Option<Self> {
        let padded =
            |axis: usize, size: usize| size + window.pad_before[axis] + window.pad_after[axis];
        let [height, width] = [padded(0, input.height), padded(1, input.width)];
        let len = image_len([height, width, channels])?;
        let mut values = vec![padding; input.images.checked_mul(len)?];
        let rows = input.values.chunks_exact(input.width * input.channels).enumerate();
        for (index, from) in rows {
            let (image, y) = (index / input.height, index % input.height + window.pad_before[0]);
            let start = ((image * height + y) * width + window.pad_before[1]) * channels;
            convert(from, &mut values[start..][..input.width * channels]);
        }
        let values = Cow::Owned(values);
        Some(Self { values, window, images: input.images, height, width, channels })
    }

    /// Start of the window at each position of an output of this size, in all images.
    pub fn row_offsets(&self, [rows, columns]: [usize; 2]) -> Vec<usize> {
        let mut offsets = Vec::with_capacity(self.images * rows * columns);
        for image in 0..self.images {
            for y in 0..rows {
                let row = (image * self.height + y * self.window.stride[0]) * self.width;
                let offset = |x: usize| (row + x * self.window.stride[1]) * self.channels;
                offsets.extend((0..columns).map(offset));
            }
        }
        offsets
    }

    /// Offsets and length of the contiguous segments of a window over `channels` of the channels.
    pub fn segments(&self, channels: usize) -> (Vec<usize>, usize) {
        let [rows, columns] = self.window.kernel;
        if channels == self.channels {
            // The columns of a row are contiguous.
            let row = self.width * self.channels;
            return ((0..rows).map(|index| index * row).collect(), columns * channels);
        }
        let offset = |tap: usize| (tap / columns * self.width + tap % columns) * self.channels;
        ((0..rows * columns).map(offset).collect(), channels)
    }
}
