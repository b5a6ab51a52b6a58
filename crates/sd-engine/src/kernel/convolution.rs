//! Convolutions in floats.

use super::channelwise::slide;
use super::depthwise::Depthwise;
use super::gemm::{Packed, Rows};
use super::window::{Bordered, Window};
use super::winograd::Winograd;
use crate::buffer_pool::Shelf;
use crate::simd::{Floats, LANES, Work, with_floats, write};
use crate::tensor::Maps;

/// A convolution with biases.
#[derive(Debug)]
pub struct Convolution {
    window: Window,
    inputs: usize,
    weights: Weights,
}

/// Weights of a matrix in floats, and biases.
pub type Matrix = Packed<f32, f32>;

#[derive(Debug)]
enum Weights {
    /// Each channel by itself.
    Depthwise(Depthwise),
    /// All channels together, in fewer products.
    Winograd(Winograd),
    /// Of each group of channels.
    Groups(Vec<Matrix>),
}

impl Convolution {
    /// Of weights `[outputs, inputs / groups, rows, columns]`, for maps that give so many output
    /// `places` if that is known; none where the numbers do not fit.
    pub fn new(
        window: Window,
        groups: usize,
        weights: &[f32],
        sides: [usize; 2],
        bias: &[f32],
        places: Option<[usize; 2]>,
    ) -> Option<Self> {
        let ([outputs, each], taps) = (sides, window.kernel[0] * window.kernel[1]);
        let fits = groups > 0
            && outputs > 0
            && each > 0
            && outputs % groups == 0
            && bias.len() == outputs
            && outputs.checked_mul(each)?.checked_mul(taps)? == weights.len();
        if !fits || !window.is_sound() {
            return None;
        }
        let weights = if each == 1 && groups == outputs && groups > 1 {
            Weights::Depthwise(Depthwise::new(weights, bias))
        } else if groups == 1 && places.is_some_and(|places| Winograd::pays(&window, sides, places))
        {
            Weights::Winograd(Winograd::new(window, weights, each, bias))
        } else {
            let share = outputs / groups;
            let packed = |group: usize| {
                let first = group * share;
                let weights = &weights[first * each * taps..];
                let fill = |output: usize, row: &mut [f32]| {
                    // A window lies place by place, each with its channels.
                    let weights = &weights[output * each * taps..];
                    for (at, number) in row.iter_mut().enumerate() {
                        *number = weights[at % each * taps + at / each];
                    }
                };
                Packed::new(&bias[first..][..share], taps * each, fill)
            };
            Weights::Groups((0..groups).map(packed).collect())
        };
        Some(Self { window, inputs: each.checked_mul(groups)?, weights })
    }

    /// What slides over the maps.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Numbers of its weights, as they are packed.
    pub fn numbers(&self) -> usize {
        match &self.weights {
            Weights::Depthwise(depthwise) => depthwise.numbers(),
            Weights::Winograd(winograd) => winograd.numbers(),
            Weights::Groups(groups) => groups.iter().map(Packed::numbers).sum(),
        }
    }

    /// The convolution, nothing below zero if `rectified`; none where the maps do not fit.
    pub fn run(&self, maps: &Maps, rectified: bool, shelf: &Shelf) -> Option<Maps> {
        if maps.channels != self.inputs {
            return None;
        }
        match &self.weights {
            Weights::Depthwise(depthwise) => slide(&self.window, depthwise, maps, rectified, shelf),
            Weights::Winograd(winograd) => winograd.run(maps, rectified, shelf),
            Weights::Groups(groups) => self.groups(groups, maps, rectified, shelf),
        }
    }

    fn groups(
        &self,
        groups: &[Matrix],
        maps: &Maps,
        rectified: bool,
        shelf: &Shelf,
    ) -> Option<Maps> {
        let sides = self.window.output(maps)?;
        let channels = groups.iter().map(Packed::outputs).sum();
        let mut output = shelf.take(maps.images, [sides[0], sides[1], channels])?;
        let bordered = Bordered::new(maps, &self.window, 0.0)?;
        let each = maps.channels / groups.len();
        let (starts, (pieces, length)) = (bordered.starts(sides), bordered.pieces(each));
        let (mut from, mut to) = (0, 0);
        for matrix in groups {
            // Nothing where there is no image.
            let values = bordered.values.get(from..).unwrap_or_default();
            let rows = Rows { values, starts: &starts, pieces: &pieces, length };
            multiply(matrix, &rows, rectified, &mut output.values[to..], channels);
            from += each;
            to += matrix.outputs();
        }
        Some(output)
    }
}

/// Each row times the weights, plus the biases, and nothing below zero if `rectified`; written to
/// `to`, each row `stride` numbers after the one before.
pub fn multiply(matrix: &Matrix, rows: &Rows<f32>, rectified: bool, to: &mut [f32], stride: usize) {
    with_floats(Product { matrix, rows, rectified, to, stride });
}

struct Product<'a> {
    matrix: &'a Matrix,
    rows: &'a Rows<'a, f32>,
    rectified: bool,
    to: &'a mut [f32],
    stride: usize,
}

impl Work for Product<'_> {
    #[inline(always)]
    fn run<F: Floats>(self) {
        let Self { matrix, rows, rectified, to, stride } = self;
        matrix.multiply(
            rows,
            #[inline(always)]
            |row, panel, sums: &[F]| {
                let at = panel * LANES;
                let columns = LANES.min(matrix.outputs() - at);
                let to = &mut to[row * stride + at..];
                for r in 0..sums.len() {
                    let sums = if rectified { sums[r].rectified() } else { sums[r] };
                    write(sums.store(), &mut to[r * stride..][..columns]);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests;
