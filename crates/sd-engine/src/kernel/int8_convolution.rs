//! Convolutions of 8-bit whole numbers.

use super::gemm::{Packed, Rows, sixteens};
use super::window::{Bordered, Window};
use crate::buffer_pool::Shelf;
use crate::simd::{ByteWork, Bytes, Floats, LANES, Work, rectify, with_bytes, with_floats, write};
use crate::tensor::Maps;

/// Added to a float below 2²², it leaves the nearest whole number in the low bits, the even one of
/// two.
const TO_WHOLE: f32 = 12_582_912.0;

/// How a float becomes a byte, as ONNX's `QuantizeLinear` has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounding {
    /// The difference between two neighbours.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero: u8,
}

impl Rounding {
    #[inline(always)]
    fn byte(self, number: f32) -> u8 {
        let (least, most) = (-f32::from(self.zero), 255.0 - f32::from(self.zero));
        let steps = number / self.scale;
        let steps = if steps > least { steps } else { least };
        let steps = if steps < most { steps } else { most };
        ((steps + TO_WHOLE).to_bits() as u8).wrapping_add(self.zero)
    }
}

/// A convolution of maps that are rounded to bytes; its sums become floats again.
#[derive(Debug)]
pub struct ByteConvolution {
    window: Window,
    inputs: usize,
    rounding: Rounding,
    /// Four channels to a number of the depth.
    weights: Packed<[i8; 4], i32>,
    /// What a sum is multiplied with, and what is added then, for each output.
    factor: Vec<[f32; LANES]>,
    shift: Vec<[f32; LANES]>,
}

impl ByteConvolution {
    /// Of weights `[outputs, inputs, rows, columns]`; none where the numbers do not fit.
    pub fn new(
        window: Window,
        rounding: Rounding,
        weights: &[i8],
        [outputs, inputs]: [usize; 2],
        [factor, shift]: [&[f32]; 2],
    ) -> Option<Self> {
        let taps = window.kernel[0] * window.kernel[1];
        let each = inputs.checked_mul(taps)?;
        let fits = factor.len() == outputs
            && shift.len() == outputs
            && outputs.checked_mul(each)? == weights.len()
            && each > 0;
        let sound = window.is_sound() && rounding.scale.is_finite() && rounding.scale > 0.0;
        if !fits || !sound {
            return None;
        }
        // A byte counts from the one that stands for 0.
        let start = |weights: &[i8]| {
            let sum = weights.iter().fold(0i32, |sum, &weight| sum.wrapping_add(weight.into()));
            sum.wrapping_mul(-i32::from(rounding.zero))
        };
        let starts: Vec<i32> = weights.chunks_exact(each).map(start).collect();
        let fours = inputs.div_ceil(4);
        // A window lies place by place, each with its channels.
        let fill = |output: usize, row: &mut [[i8; 4]]| {
            let weights = &weights[output * each..][..each];
            for (at, four) in row.iter_mut().enumerate() {
                let (tap, first) = (at / fours, at % fours * 4);
                let weight = |lane| weights.get((first + lane) * taps + tap).copied();
                *four = std::array::from_fn(|lane| match first + lane < inputs {
                    true => weight(lane).unwrap_or_default(),
                    false => 0,
                });
            }
        };
        Some(Self {
            window,
            inputs,
            rounding,
            weights: Packed::new(&starts, taps * fours, fill),
            factor: sixteens(factor),
            shift: sixteens(shift),
        })
    }

    /// What slides over the maps.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Numbers of its weights, as they are packed, in floats' sizes.
    pub fn numbers(&self) -> usize {
        self.weights.numbers() + 2 * self.factor.len() * LANES
    }

    /// The convolution, nothing below zero if `rectified`; none where the maps do not fit.
    pub fn run(&self, maps: &Maps, rectified: bool, shelf: &Shelf) -> Option<Maps> {
        let sides = self.window.output(maps).filter(|_| maps.channels == self.inputs)?;
        let channels = self.weights.outputs();
        let mut output = shelf.take(maps.images, [sides[0], sides[1], channels])?;
        let (rounding, fours) = (self.rounding, self.inputs.div_ceil(4));
        let round = |from: &[f32], to: &mut [[u8; 4]]| {
            with_floats(Round { rounding, channels: self.inputs, from, to });
        };
        let bordered = Bordered::with(maps, &self.window, fours, [self.rounding.zero; 4], round)?;
        let (starts, (pieces, length)) = (bordered.starts(sides), bordered.pieces(fours));
        let rows = Rows { values: &bordered.values, starts: &starts, pieces: &pieces, length };
        let to = &mut output.values[..];
        with_bytes(Product { convolution: self, rows, rectified, to });
        Some(output)
    }
}

/// Rounds positions of a map, four channels to a number.
struct Round<'a> {
    rounding: Rounding,
    channels: usize,
    from: &'a [f32],
    to: &'a mut [[u8; 4]],
}

impl Work for Round<'_> {
    #[inline(always)]
    fn run<F: Floats>(self) {
        let fours = self.channels.div_ceil(4);
        for (from, to) in self.from.chunks_exact(self.channels).zip(self.to.chunks_exact_mut(fours))
        {
            for (number, byte) in from.iter().zip(to.as_flattened_mut()) {
                *byte = self.rounding.byte(*number);
            }
        }
    }
}

struct Product<'a> {
    convolution: &'a ByteConvolution,
    rows: Rows<'a, [u8; 4]>,
    rectified: bool,
    to: &'a mut [f32],
}

impl ByteWork for Product<'_> {
    #[inline(always)]
    fn run<B: Bytes>(self) {
        let Self { convolution, rows, rectified, to } = self;
        let outputs = convolution.weights.outputs();
        convolution.weights.multiply(
            &rows,
            #[inline(always)]
            |row, panel, sums: &[B]| {
                let at = panel * LANES;
                let columns = LANES.min(outputs - at);
                let (factor, shift) = (&convolution.factor[panel], &convolution.shift[panel]);
                let to = &mut to[row * outputs + at..];
                for (r, sums) in sums.iter().enumerate() {
                    let sums = sums.store();
                    let mut numbers = [0.0; LANES];
                    for lane in 0..LANES {
                        numbers[lane] = sums[lane] as f32 * factor[lane] + shift[lane];
                        if rectified {
                            rectify(&mut numbers[lane]);
                        }
                    }
                    write(numbers, &mut to[r * outputs..][..columns]);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;

    #[test]
    fn floats_become_the_nearest_byte_and_the_even_one_of_two() {
        let rounding = Rounding { scale: 0.5, zero: 128 };
        let expected =
            [(0.0, 128), (0.25, 128), (0.75, 130), (-0.25, 128), (-0.3, 127), (1.0, 130)];
        let beyond = [(1e9, 255), (-1e9, 0), (f32::NAN, 0), (f32::INFINITY, 255), (-64.0, 0)];
        for (number, byte) in expected.into_iter().chain(beyond) {
            assert_eq!(rounding.byte(number), byte, "{number}");
        }
    }

    #[test]
    fn sums_of_bytes_are_those_of_the_numbers_that_they_stand_for() {
        // Channels that fill no four, outputs that fill no panel, and places outside the map.
        for ([channels, height, width], outputs, zero) in
            [([6, 5, 4], 20, 128), ([3, 2, 2], 5, 7), ([8, 1, 1], 33, 0)]
        {
            let (kernel, border) = ([3, 3], [1, 1]);
            let window = Window { kernel, stride: [1, 1], before: border, after: border };
            let rounding = Rounding { scale: 0.5, zero };
            let number = |at: usize| (at * 7919 % 11) as f32 * 0.5 - 2.0;
            let values: Vec<f32> = (0..2 * channels * height * width).map(number).collect();
            let seen: Vec<f32> =
                values.iter().map(|number| number.max(-0.5 * f32::from(zero))).collect();
            let weights: Vec<i8> =
                (0..outputs * channels * 9).map(|at| (at as i32 * 31 % 129 - 64) as i8).collect();
            let factor: Vec<f32> = (0..outputs).map(|output| 1.0 + output as f32).collect();
            let shift: Vec<f32> = (0..outputs).map(|output| output as f32 - 3.0).collect();
            let convolution = ByteConvolution::new(
                window,
                rounding,
                &weights,
                [outputs, channels],
                [&factor, &shift],
            );
            let maps = |values: Vec<f32>| {
                Maps::of(Batch::new(vec![2, channels, height, width], values).unwrap()).unwrap()
            };
            let shelf = Shelf::default();
            let found = convolution.unwrap().run(&maps(values), true, &shelf).unwrap();
            // The same in floats, which hold such sums exactly.
            let floats: Vec<f32> = (0..weights.len())
                .map(|at| f32::from(weights[at]) * 2.0 * factor[at / (channels * 9)])
                .collect();
            let exact = super::super::convolution::Convolution::new(
                window,
                1,
                &floats,
                [outputs, channels],
                &shift,
                None,
            );
            let expected = exact.unwrap().run(&maps(seen), true, &shelf).unwrap();
            assert_eq!(found.values, expected.values, "{channels} channels");
        }
    }
}
