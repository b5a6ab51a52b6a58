//! What slides over maps.

use std::borrow::Cow;
use std::ops::Range;

use crate::tensor::{Maps, size};

/// Sides of a window at most: a file that asks for more is refused.
const LARGEST: usize = 64;

/// A window that slides over maps: `[rows, columns]` each.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Places outside, before the first row and column.
    pub before: [usize; 2],
    /// Places outside, behind the last row and column.
    pub after: [usize; 2],
}

impl Window {
    /// Whether a network may have it.
    pub fn is_sound(&self) -> bool {
        (0..2).all(|axis| {
            (1..=LARGEST).contains(&self.kernel[axis])
                && (1..=LARGEST).contains(&self.stride[axis])
                && self.before[axis].max(self.after[axis]) < self.kernel[axis]
        })
    }

    /// The output's rows and columns; none where the window is larger than the map.
    pub fn output(&self, maps: &Maps) -> Option<[usize; 2]> {
        self.places([maps.height, maps.width])
    }

    /// The output's rows and columns for maps with so many.
    pub fn places(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        let side = |axis: usize, side: usize| {
            let whole = side.checked_add(self.before[axis] + self.after[axis])?;
            Some(whole.checked_sub(self.kernel[axis])? / self.stride[axis] + 1)
        };
        Some([side(0, height)?, side(1, width)?])
    }

    /// The places of the window at this output place along an axis that lie on the map, of `side`
    /// places.
    pub fn on_map(&self, axis: usize, place: usize, side: usize) -> Range<usize> {
        let start = place * self.stride[axis];
        let first = self.before[axis].saturating_sub(start);
        let end = (side + self.before[axis]).saturating_sub(start).min(self.kernel[axis]);
        first..end.max(first)
    }
}

/// Maps with the places around them that a window reaches to, `[N, H, W, C]`.
#[derive(Debug)]
pub struct Bordered<'a, T: Copy> {
    pub values: Cow<'a, [T]>,
    window: &'a Window,
    images: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Bordered<'a, f32> {
    /// Of maps, around which everything is `outside`; none where that were too large.
    pub fn new(maps: &'a Maps, window: &'a Window, outside: f32) -> Option<Self> {
        if window.before == [0; 2] && window.after == [0; 2] {
            let &Maps { images, height, width, channels, .. } = maps;
            let values = Cow::Borrowed(&maps.values[..]);
            return Some(Self { values, window, images, height, width, channels });
        }
        Self::with(maps, window, maps.channels, outside, |from, to| to.copy_from_slice(from))
    }
}

impl<'a, T: Copy> Bordered<'a, T> {
    /// Of maps with so many channels, each row of which `row(from, to)` writes; around them
    /// everything is `outside`. None where that were too large.
    pub fn with(
        maps: &Maps,
        window: &'a Window,
        channels: usize,
        outside: T,
        row: impl Fn(&[f32], &mut [T]),
    ) -> Option<Self> {
        let side = |axis: usize, side: usize| side + window.before[axis] + window.after[axis];
        let [height, width] = [side(0, maps.height), side(1, maps.width)];
        let each = size([height, width, channels])?;
        let mut values = vec![outside; maps.images.checked_mul(each)?];
        let rows = maps.values.chunks_exact(maps.width * maps.channels).enumerate();
        for (index, from) in rows {
            let (image, y) = (index / maps.height, index % maps.height + window.before[0]);
            let at = ((image * height + y) * width + window.before[1]) * channels;
            row(from, &mut values[at..][..maps.width * channels]);
        }
        let values = Cow::Owned(values);
        Some(Self { values, window, images: maps.images, height, width, channels })
    }

    /// Where the window starts at each of the output's places.
    pub fn starts(&self, [rows, columns]: [usize; 2]) -> Vec<usize> {
        let mut starts = Vec::with_capacity(self.images * rows * columns);
        for image in 0..self.images {
            for y in 0..rows {
                let first = (image * self.height + y * self.window.stride[0]) * self.width;
                let place = |x: usize| (first + x * self.window.stride[1]) * self.channels;
                starts.extend((0..columns).map(place));
            }
        }
        starts
    }

    /// Where each place of the window lies behind its start.
    fn places(&self) -> Vec<usize> {
        let [rows, columns] = self.window.kernel;
        let place = |tap: usize| (tap / columns * self.width + tap % columns) * self.channels;
        (0..rows * columns).map(place).collect()
    }

    /// Where the pieces of a window that holds `each` of the channels lie behind its start, and how
    /// long they are.
    pub fn pieces(&self, each: usize) -> (Vec<usize>, usize) {
        if each == self.channels {
            // The columns of a row lie one behind the other.
            let [rows, columns] = self.window.kernel;
            let row = self.width * self.channels;
            return ((0..rows).map(|index| index * row).collect(), columns * each);
        }
        (self.places(), each)
    }
}
