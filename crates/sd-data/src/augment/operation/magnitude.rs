//! Magnitude scales of the operations.

use super::Operation;
use crate::ImageShape;

/// An operation without its magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::augment) enum Kind {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

impl Kind {
    /// The operations of RandAugment and TrivialAugment.
    pub(in crate::augment) const RANDOM: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];
}

/// Largest magnitudes, and the number of bins from no change to these in equal steps.
#[derive(Clone, Copy, Debug)]
pub(in crate::augment) struct Space {
    /// Pixels per row or column.
    shear: f32,
    /// Horizontal, in pixels.
    translate_x: f32,
    /// Vertical, in pixels.
    translate_y: f32,
    /// Degrees.
    rotate: f32,
    /// Distance of the brightness, colour, contrast and sharpness factors from 1.
    enhance: f32,
    /// Bits removed by posterising.
    bits: f32,
    bins: usize,
}

impl Space {
    /// The ranges of AutoAugment (<https://arxiv.org/abs/1805.09501>, the list of operations in
    /// its appendix) and RandAugment, on torchvision's scale: the largest translation is 150
    /// pixels of 331.
    pub(in crate::augment) fn auto(shape: ImageShape, bins: usize) -> Self {
        let translate = |side: usize| (150.0 / 331.0 * side as f64) as f32;
        Self {
            shear: 0.3,
            translate_x: translate(shape.width),
            translate_y: translate(shape.height),
            rotate: 30.0,
            enhance: 0.9,
            bits: 4.0,
            bins,
        }
    }

    /// The ranges of TrivialAugment's wide space: <https://arxiv.org/abs/2103.10158>.
    pub(in crate::augment) fn wide(bins: usize) -> Self {
        Self {
            shear: 0.99,
            translate_x: 32.0,
            translate_y: 32.0,
            rotate: 135.0,
            enhance: 0.99,
            bits: 6.0,
            bins,
        }
    }

    /// The operation `kind` at magnitude `bin`, 0 to below the number of bins. `negative` reverses its
    /// direction, if it has one.
    pub(in crate::augment) fn operation(
        &self,
        kind: Kind,
        bin: usize,
        negative: bool,
    ) -> Operation {
        let sign = if negative { -1.0 } else { 1.0 };
        let upto = |most| sign * f64::from(linspace(0.0, most, self.bins, bin));
        let factor = || (1.0 + upto(self.enhance)) as f32;
        match kind {
            Kind::Identity => Operation::Identity,
            Kind::ShearX => Operation::ShearX(upto(self.shear)),
            Kind::ShearY => Operation::ShearY(upto(self.shear)),
            Kind::TranslateX => Operation::TranslateX(upto(self.translate_x)),
            Kind::TranslateY => Operation::TranslateY(upto(self.translate_y)),
            Kind::Rotate => Operation::Rotate(upto(self.rotate)),
            Kind::Brightness => Operation::Brightness(factor()),
            Kind::Color => Operation::Color(factor()),
            Kind::Contrast => Operation::Contrast(factor()),
            Kind::Sharpness => Operation::Sharpness(factor()),
            Kind::Posterize => {
                let removed = bin as f32 / ((self.bins - 1) as f32 / self.bits);
                Operation::Posterize(8 - removed.round_ties_even() as u32)
            }
            Kind::Solarize => Operation::Solarize(f64::from(linspace(255.0, 0.0, self.bins, bin))),
            Kind::AutoContrast => Operation::AutoContrast,
            Kind::Equalize => Operation::Equalize,
            Kind::Invert => Operation::Invert,
        }
    }
}

/// Number `index` of `count` equally spaced numbers. As in `torch.linspace`, the second half counts
/// back from the end, and only the step and the result are rounded to `f32`.
fn linspace(start: f32, end: f32, count: usize, index: usize) -> f32 {
    let step = f64::from((end - start) / (count - 1) as f32);
    if index < count / 2 {
        (f64::from(start) + step * index as f64) as f32
    } else {
        (f64::from(end) - step * (count - 1 - index) as f64) as f32
    }
}
