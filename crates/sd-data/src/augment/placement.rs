//! Shifts and flips, applied in a single pass.

use crate::ImageShape;

/// A shift and a flip: row `y`, column `x` of the result shows row `y + down`, column `u + right` of
/// the source, where `u` is `x`, or `width - 1 - x` if mirrored. Outside the source the result is
/// black.
///
/// Placements compose: a later shift can bring back what an earlier one moved out of sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(super) down: isize,
    pub(super) right: isize,
    pub(super) mirrored: bool,
}

impl Placement {
    /// Followed by a crop whose corner lies `down` and `right` of the current one.
    #[must_use]
    pub(super) fn moved(self, down: isize, right: isize) -> Self {
        let right = if self.mirrored { -right } else { right };
        Self { down: self.down + down, right: self.right + right, ..self }
    }

    /// Followed by a horizontal flip.
    #[must_use]
    pub(super) fn mirrored(self) -> Self {
        Self { mirrored: !self.mirrored, ..self }
    }

    /// Writes the placed image, normalised by the lookup `tables` of the channels. `source` and `target`
    /// are `[H, W, C]` of `shape`.
    pub(crate) fn write(
        self,
        source: &[u8],
        shape: ImageShape,
        tables: &[[f32; 256]],
        target: &mut [f32],
    ) {
        self.each_pixel(source, shape, target, |from, to| {
            for (channel, (table, value)) in tables.iter().zip(to).enumerate() {
                *value = table[from.map_or(0, |from| usize::from(from[channel]))];
            }
        });
    }

    /// Writes the placed image. `source` and `target` are `[H, W, C]` of `shape`.
    pub(super) fn copy(self, source: &[u8], shape: ImageShape, target: &mut [u8]) {
        if self == Self::default() {
            return target.copy_from_slice(source);
        }
        self.each_pixel(source, shape, target, |from, to| match from {
            Some(from) => to.copy_from_slice(from),
            None => to.fill(0),
        });
    }

    /// Calls `write` with every pixel of `target` and the pixel of `source` it shows, if any.
    #[inline(always)]
    fn each_pixel<T>(
        self,
        source: &[u8],
        shape: ImageShape,
        target: &mut [T],
        write: impl Fn(Option<&[u8]>, &mut [T]),
    ) {
        debug_assert_eq!((source.len(), target.len()), (shape.values(), shape.values()));
        // Inlined three times: loops over a constant number of channels unroll.
        match shape.channels {
            1 => self.pass(source, shape, 1, target, write),
            3 => self.pass(source, shape, 3, target, write),
            channels => self.pass(source, shape, channels, target, write),
        }
    }

    #[inline(always)]
    fn pass<T>(
        self,
        source: &[u8],
        shape: ImageShape,
        channels: usize,
        target: &mut [T],
        write: impl Fn(Option<&[u8]>, &mut [T]),
    ) {
        let (height, width) = (shape.height as isize, shape.width as isize);
        // The columns u, before the flip, that show a part of the source.
        let start = (-self.right).clamp(0, width);
        let end = (width - self.right).clamp(start, width);
        let seen = (start + self.right) as usize..(end + self.right) as usize;
        let (left, right) = if self.mirrored { (width - end, width - start) } else { (start, end) };
        let (left, right) = (left as usize * channels, right as usize * channels);
        let black = |target: &mut [T]| {
            target.chunks_exact_mut(channels).for_each(|to| write(None, to));
        };

        for (row, target) in (0..).zip(target.chunks_exact_mut(shape.width * channels)) {
            let row: isize = row + self.down;
            if seen.is_empty() || row < 0 || row >= height {
                black(target);
                continue;
            }
            let source = &source[row as usize * shape.width * channels..];
            let source = source[seen.start * channels..seen.end * channels].chunks_exact(channels);
            black(&mut target[..left]);
            black(&mut target[right..]);
            let target = target[left..right].chunks_exact_mut(channels);
            if self.mirrored {
                source.rev().zip(target).for_each(|(from, to)| write(Some(from), to));
            } else {
                source.zip(target).for_each(|(from, to)| write(Some(from), to));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The reference: one copy per change.
    fn moved(image: &[f32], shape: ImageShape, down: isize, right: isize) -> Vec<f32> {
        let (height, width) = (shape.height as isize, shape.width as isize);
        let mut moved = vec![0.0; image.len()];
        for y in 0..height {
            for x in 0..width {
                let (from_y, from_x) = (y + down, x + right);
                if (0..height).contains(&from_y) && (0..width).contains(&from_x) {
                    for c in 0..shape.channels {
                        moved[(y * width + x) as usize * shape.channels + c] =
                            image[(from_y * width + from_x) as usize * shape.channels + c];
                    }
                }
            }
        }
        moved
    }

    fn mirrored(image: &[f32], shape: ImageShape) -> Vec<f32> {
        image
            .chunks_exact(shape.width * shape.channels)
            .flat_map(|row| row.chunks_exact(shape.channels).rev().flatten().copied())
            .collect()
    }

    /// Identity tables, with alternating signs to tell the channels apart.
    fn tables(channels: usize) -> Vec<[f32; 256]> {
        let sign = |channel: usize| if channel.is_multiple_of(2) { 1.0 } else { -1.0 };
        (0..channels).map(|c| std::array::from_fn(|byte| sign(c) * byte as f32)).collect()
    }

    fn written(placement: Placement, image: &[u8], shape: ImageShape) -> Vec<f32> {
        let mut target = vec![f32::NAN; shape.values()];
        placement.write(image, shape, &tables(shape.channels), &mut target);
        target
    }

    fn image(shape: ImageShape) -> Vec<u8> {
        (1..=shape.values() as u8).collect()
    }

    proptest! {
        #[test]
        fn one_pass_equals_copy_after_copy(
            channels in 1_usize..=4, down in -6_isize..=6, right in -6_isize..=6,
            flip_first: bool, flip_last: bool,
        ) {
            let shape = ImageShape::new(channels, 4, 5);
            let source = image(shape);
            let mut expected = written(Placement::default(), &source, shape);
            let mut placement = Placement::default();
            if flip_first {
                expected = mirrored(&expected, shape);
                placement = placement.mirrored();
            }
            expected = moved(&expected, shape, down, right);
            placement = placement.moved(down, right);
            if flip_last {
                expected = mirrored(&expected, shape);
                placement = placement.mirrored();
            }
            // `==` treats 0.0 and -0.0 as equal.
            prop_assert_eq!(written(placement, &source, shape), expected);
        }
    }

    #[test]
    fn black_is_black_before_normalisation() {
        let shape = ImageShape::new(1, 1, 2);
        let table: [f32; 256] = std::array::from_fn(|byte| byte as f32 - 9.0);
        let mut target = [f32::NAN; 2];
        Placement::default().moved(0, 1).write(&[20, 30], shape, &[table], &mut target);
        assert_eq!(target, [21.0, -9.0]);
    }
}
