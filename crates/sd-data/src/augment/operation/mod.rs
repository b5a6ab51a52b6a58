//! Operations on the bytes of an image, as AutoAugment and its successors apply them.
//!
//! They give what `torchvision.transforms` gives on PIL images, to the bit: Pillow 13's formulas,
//! its rounding included, are what published results were trained with. The golden test holds the
//! two together.

mod affine;
mod color;
mod magnitude;
mod pixels;
mod sharpness;
mod tone;

pub(super) use magnitude::{Kind, Space};
pub(super) use pixels::Pixels;

/// One change of an image. A factor is 1 for no change, and at least 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    Identity,
    /// Rows shift by this many pixels a row, those below to the left if it is above zero.
    ShearX(f64),
    /// Columns shift by this many pixels a column, those to the right upwards if it is above zero.
    ShearY(f64),
    /// Pixels to the right.
    TranslateX(f64),
    /// Pixels downwards.
    TranslateY(f64),
    /// Degrees, counter-clockwise, about the centre.
    Rotate(f64),
    /// Towards black: a factor.
    Brightness(f32),
    /// Towards grey, pixel by pixel (the saturation): a factor.
    Color(f32),
    /// Towards the mean grey: a factor.
    Contrast(f32),
    /// Towards a smoothed image: a factor.
    Sharpness(f32),
    /// Bits that remain of each byte, 1 to 8.
    Posterize(u32),
    /// The value from which on bytes are inverted.
    Solarize(f64),
    /// The values of each channel stretched to all of 0 to 255.
    AutoContrast,
    /// Each channel's histogram made flat.
    Equalize,
    Invert,
    /// A turn of the hue, between -0.5 and 0.5.
    Hue(f64),
}

impl Operation {
    /// Changes `pixels`. What a shear, translation or rotation brings in from outside is `fill`.
    pub(super) fn apply(self, pixels: &mut Pixels, fill: u8) {
        match self {
            Self::Identity => {}
            Self::ShearX(shear) => affine::shear(pixels, shear, 0.0, fill),
            Self::ShearY(shear) => affine::shear(pixels, 0.0, shear, fill),
            // Whole pixels, towards zero.
            Self::TranslateX(right) => affine::translate(pixels, right.trunc(), 0.0, fill),
            Self::TranslateY(down) => affine::translate(pixels, 0.0, down.trunc(), fill),
            Self::Rotate(degrees) => affine::rotate(pixels, degrees, fill),
            Self::Brightness(factor) => tone::brightness(pixels, factor),
            Self::Color(factor) => color::saturation(pixels, factor),
            Self::Contrast(factor) => color::contrast(pixels, factor),
            Self::Sharpness(factor) => sharpness::sharpness(pixels, factor),
            Self::Posterize(bits) => tone::posterize(pixels, bits),
            Self::Solarize(threshold) => tone::solarize(pixels, threshold),
            Self::AutoContrast => tone::auto_contrast(pixels),
            Self::Equalize => tone::equalize(pixels),
            Self::Invert => tone::invert(pixels),
            Self::Hue(turn) => color::hue(pixels, turn),
        }
    }
}

/// From `degenerate` (factor 0) to `value` (factor 1) and beyond, cut to a byte: towards zero,
/// and to the nearest end outside. <https://pillow.readthedocs.io/en/stable/reference/Image.html>,
/// `blend`.
#[inline(always)]
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let (degenerate, value) = (f32::from(degenerate), f32::from(value));
    (degenerate + factor * (value - degenerate)) as u8
}

#[cfg(test)]
mod golden;
