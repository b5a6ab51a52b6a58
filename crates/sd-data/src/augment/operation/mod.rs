//! Operations on the bytes of an image, as AutoAugment and its successors apply them.
//!
//! The results equal those of `torchvision.transforms` on PIL images, bit for bit, since published
//! results were trained with Pillow's formulas and rounding. The golden test compares with Pillow 13.

mod affine;
mod color;
mod magnitude;
mod pixels;
mod sharpness;
mod tone;

use affine::{nearest, rotate};
pub(super) use magnitude::{Kind, Space};
pub(super) use pixels::Pixels;

/// An operation on an image. Factors are at least 0; 1 is no change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    Identity,
    /// Shift per row in pixels; positive values move lower rows to the left.
    ShearX(f64),
    /// Shift per column in pixels; positive values move columns on the right upwards.
    ShearY(f64),
    /// Pixels to the right.
    TranslateX(f64),
    /// Pixels downwards.
    TranslateY(f64),
    /// Degrees, counter-clockwise, about the centre.
    Rotate(f64),
    /// Factor between black and the image.
    Brightness(f32),
    /// Saturation: factor between the greyscale image and the image.
    Color(f32),
    /// Factor between the mean grey and the image.
    Contrast(f32),
    /// Factor between a smoothed image and the image.
    Sharpness(f32),
    /// Bits kept of each byte, 1 to 8.
    Posterize(u32),
    /// Threshold at and above which bytes are inverted.
    Solarize(f64),
    /// Stretches the values of each channel to 0 to 255.
    AutoContrast,
    /// Equalises the histogram of each channel.
    Equalize,
    Invert,
    /// Rotation of the hue in turns, between -0.5 and 0.5.
    Hue(f64),
}

impl Operation {
    /// Applies the operation. Areas outside the image become `fill`.
    pub(super) fn apply(self, pixels: &mut Pixels, fill: u8) {
        match self {
            Self::Identity => {}
            Self::ShearX(shear) => nearest(pixels, [[1.0, shear, 0.0], [0.0, 1.0, 0.0]], fill),
            Self::ShearY(shear) => nearest(pixels, [[1.0, 0.0, 0.0], [shear, 1.0, 0.0]], fill),
            // Truncated to whole pixels.
            Self::TranslateX(right) => {
                nearest(pixels, [[1.0, 0.0, -right.trunc()], [0.0, 1.0, 0.0]], fill);
            }
            Self::TranslateY(down) => {
                nearest(pixels, [[1.0, 0.0, 0.0], [0.0, 1.0, -down.trunc()]], fill);
            }
            Self::Rotate(degrees) => rotate(pixels, degrees, fill),
            Self::Brightness(factor) => pixels.map(|value| blend(0, value, factor)),
            Self::Color(factor) => color::saturation(pixels, factor),
            Self::Contrast(factor) => color::contrast(pixels, factor),
            Self::Sharpness(factor) => sharpness::sharpness(pixels, factor),
            Self::Posterize(bits) => pixels.map(|value| value & (0xff00_u32 >> bits) as u8),
            Self::Solarize(threshold) => {
                pixels.map(|value| if f64::from(value) < threshold { value } else { 255 - value });
            }
            Self::AutoContrast => tone::auto_contrast(pixels),
            Self::Equalize => tone::equalize(pixels),
            Self::Invert => pixels.map(|value| 255 - value),
            Self::Hue(turn) => color::hue(pixels, turn),
        }
    }
}

/// Interpolates from `degenerate` (factor 0) to `value` (factor 1) and extrapolates beyond, truncated
/// and saturated to a byte. <https://pillow.readthedocs.io/en/stable/reference/Image.html>,
/// `blend`.
#[inline(always)]
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let (degenerate, value) = (f32::from(degenerate), f32::from(value));
    (degenerate + factor * (value - degenerate)) as u8
}

#[cfg(test)]
mod tests;
