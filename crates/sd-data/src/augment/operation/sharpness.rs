//! Sharpness: blends between a smoothed image and the image.

use super::{Pixels, blend};

/// Blends with a 3×3 smoothing filter of weight 5 in the centre and 1 around it. Border pixels are
/// unchanged.
pub(super) fn sharpness(pixels: &mut Pixels, factor: f32) {
    let shape = pixels.shape();
    if shape.height < 3 || shape.width < 3 {
        return;
    }
    pixels.rewrite(|shape, source, target| {
        target.copy_from_slice(source);
        let stride = shape.width * shape.channels;
        let inner = stride - 2 * shape.channels;
        for row in 1..shape.height - 1 {
            // The inner values shifted left, unshifted and shifted right, all of one length, so that
            // the loop below needs no bounds checks.
            let around = |row: usize| {
                [0, 1, 2].map(|pixel| &source[row * stride + pixel * shape.channels..][..inner])
            };
            let (above, here, below) = (around(row - 1), around(row), around(row + 1));
            let target = &mut target[row * stride + shape.channels..][..inner];
            for (index, value) in target.iter_mut().enumerate() {
                let sum: u16 = [above, here, below]
                    .iter()
                    .flatten()
                    .map(|values| u16::from(values[index]))
                    .sum::<u16>()
                    + 4 * u16::from(here[1][index]);
                // sum / 13, rounded.
                let smooth = (sum + 6) / 13;
                *value = blend(smooth as u8, here[1][index], factor);
            }
        }
    });
}
