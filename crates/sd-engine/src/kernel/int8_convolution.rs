//! 8-bit convolutions.

use super::gemm::{PackedMatrix, Rows};
use super::window::{Padded, Window};
use crate::buffer_pool::BufferPool;
use crate::simd::{
    FloatLoop, FloatVector, Int8Accumulator, Int8Loop, LANES, dispatch_float, dispatch_int8,
    relu as relu_in_place, store_partial, to_lanes,
};
use crate::tensor::Tensor;

/// 1.5 · 2²³. Added to a float below 2²², it leaves the nearest integer (ties to even) in the low bits.
const ROUNDING_MAGIC: f32 = 12_582_912.0;

/// Affine quantisation to `u8`, as in ONNX's `QuantizeLinear`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantization {
    /// Difference between neighbouring values.
    pub scale: f32,
    /// The byte of 0.
    pub zero_point: u8,
}

impl Quantization {
    #[inline(always)]
    fn quantize(self, value: f32) -> u8 {
        let (min, max) = (-f32::from(self.zero_point), 255.0 - f32::from(self.zero_point));
        let steps = value / self.scale;
        let steps = if steps > min { steps } else { min };
        let steps = if steps < max { steps } else { max };
        ((steps + ROUNDING_MAGIC).to_bits() as u8).wrapping_add(self.zero_point)
    }
}

/// A dense convolution that quantises its input and scales its sums back to floats.
#[derive(Debug)]
pub struct Int8Convolution {
    window: Window,
    inputs: usize,
    quantization: Quantization,
    /// Four channels per element.
    weights: PackedMatrix<[i8; 4], i32>,
    /// Factor and offset of each output's sum.
    factor: Vec<[f32; LANES]>,
    offset: Vec<[f32; LANES]>,
}

impl Int8Convolution {
    /// Packs weights `[outputs, inputs, rows, columns]`; `None` if the sizes contradict each other.
    pub fn new(
        window: Window,
        quantization: Quantization,
        weights: &[i8],
        [outputs, inputs]: [usize; 2],
        [factor, offset]: [&[f32]; 2],
    ) -> Option<Self> {
        let taps = window.taps();
        let len = inputs.checked_mul(taps)?;
        let is_consistent = factor.len() == outputs
            && offset.len() == outputs
            && outputs.checked_mul(len)? == weights.len()
            && len > 0;
        let is_valid =
            window.is_valid() && quantization.scale.is_finite() && quantization.scale > 0.0;
        if !is_consistent || !is_valid {
            return None;
        }
        // Subtracts the zero point from every input.
        let init = |weights: &[i8]| {
            let sum = weights.iter().fold(0i32, |sum, &weight| sum.wrapping_add(weight.into()));
            sum.wrapping_mul(-i32::from(quantization.zero_point))
        };
        let init: Vec<i32> = weights.chunks_exact(len).map(init).collect();
        let quads = inputs.div_ceil(4);
        // Tap by tap, all channels of a tap together.
        let fill = |output: usize, row: &mut [[i8; 4]]| {
            let weights = &weights[output * len..][..len];
            for (k, quad) in row.iter_mut().enumerate() {
                let (tap, first) = (k / quads, k % quads * 4);
                let weight = |index| weights.get((first + index) * taps + tap).copied();
                *quad = std::array::from_fn(|index| match first + index < inputs {
                    true => weight(index).unwrap_or_default(),
                    false => 0,
                });
            }
        };
        Some(Self {
            window,
            inputs,
            quantization,
            weights: PackedMatrix::new(&init, taps * quads, fill),
            factor: to_lanes(factor),
            offset: to_lanes(offset),
        })
    }

    /// Convolves, followed by a ReLU if `relu`; `None` if the input's shape does not fit.
    pub fn run(&self, input: &Tensor, relu: bool, buffers: &BufferPool) -> Option<Tensor> {
        let size = self.window.output_size(input.size());
        let size @ [height, width] = size.filter(|_| input.channels == self.inputs)?;
        let channels = self.weights.outputs();
        let mut output = Tensor::acquire(buffers, input.images, [height, width, channels])?;
        let (quantization, quads) = (self.quantization, self.inputs.div_ceil(4));
        let quantize = |from: &[f32], to: &mut [[u8; 4]]| {
            dispatch_float(Quantize { quantization, channels: self.inputs, from, to });
        };
        let padding = [quantization.zero_point; 4];
        let padded = Padded::convert(input, &self.window, quads, padding, quantize)?;
        let (segment_offsets, segment_len) = padded.segments(quads);
        let rows = Rows {
            values: &padded.values,
            row_offsets: &padded.row_offsets(size),
            segment_offsets: &segment_offsets,
            segment_len,
        };
        dispatch_int8(Product { convolution: self, rows, relu, to: &mut output.values });
        Some(output)
    }
}

/// Quantises positions of an input, four channels per element.
struct Quantize<'a> {
    quantization: Quantization,
    channels: usize,
    from: &'a [f32],
    to: &'a mut [[u8; 4]],
}

impl FloatLoop for Quantize<'_> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let quads = self.channels.div_ceil(4);
        for (from, to) in self.from.chunks_exact(self.channels).zip(self.to.chunks_exact_mut(quads))
        {
            for (value, byte) in from.iter().zip(to.as_flattened_mut()) {
                *byte = self.quantization.quantize(*value);
            }
        }
    }
}

struct Product<'a> {
    convolution: &'a Int8Convolution,
    rows: Rows<'a, [u8; 4]>,
    relu: bool,
    to: &'a mut [f32],
}

impl Int8Loop for Product<'_> {
    #[inline(always)]
    fn run<A: Int8Accumulator>(self) {
        let Self { convolution, rows, relu, to } = self;
        let outputs = convolution.weights.outputs();
        convolution.weights.multiply(
            &rows,
            #[inline(always)]
            |row, panel, sums: &[A]| {
                let first = panel * LANES;
                let columns = LANES.min(outputs - first);
                let (factor, offset) = (&convolution.factor[panel], &convolution.offset[panel]);
                let to = &mut to[row * outputs + first..];
                for (r, sums) in sums.iter().enumerate() {
                    let sums = sums.store();
                    let mut values = [0.0; LANES];
                    for lane in 0..LANES {
                        values[lane] = sums[lane] as f32 * factor[lane] + offset[lane];
                        if relu {
                            relu_in_place(&mut values[lane]);
                        }
                    }
                    store_partial(values, &mut to[r * outputs..][..columns]);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::kernel::convolution::Convolution;

    #[test]
    fn floats_are_rounded_to_the_nearest_byte_with_ties_to_even() {
        let quantization = Quantization { scale: 0.5, zero_point: 128 };
        let expected =
            [(0.0, 128), (0.25, 128), (0.75, 130), (-0.25, 128), (-0.3, 127), (1.0, 130)];
        let out_of_range = [(1e9, 255), (-1e9, 0), (f32::NAN, 0), (f32::INFINITY, 255), (-64.0, 0)];
        for (value, byte) in expected.into_iter().chain(out_of_range) {
            assert_eq!(quantization.quantize(value), byte, "{value}");
        }
    }

    #[test]
    fn an_8_bit_convolution_equals_the_convolution_of_the_dequantised_values() {
        // Channels that are no multiple of four, outputs that are no multiple of 16, and padding.
        for ([channels, height, width], outputs, zero_point) in
            [([6, 5, 4], 20, 128), ([3, 2, 2], 5, 7), ([8, 1, 1], 33, 0)]
        {
            let (kernel, pad) = ([3, 3], [1, 1]);
            let window = Window { kernel, stride: [1, 1], pad_before: pad, pad_after: pad };
            let quantization = Quantization { scale: 0.5, zero_point };
            let value = |index: usize| (index * 7919 % 11) as f32 * 0.5 - 2.0;
            let values: Vec<f32> = (0..2 * channels * height * width).map(value).collect();
            let clamped: Vec<f32> =
                values.iter().map(|value| value.max(-0.5 * f32::from(zero_point))).collect();
            let weights: Vec<i8> = (0..outputs * channels * 9)
                .map(|index| (index as i32 * 31 % 129 - 64) as i8)
                .collect();
            let factor: Vec<f32> = (0..outputs).map(|output| 1.0 + output as f32).collect();
            let offset: Vec<f32> = (0..outputs).map(|output| output as f32 - 3.0).collect();
            let tensor = |values: Vec<f32>| {
                let batch = Batch::new(vec![2, channels, height, width], values);
                Tensor::from_batch(batch.unwrap()).unwrap()
            };
            let (shape, buffers) = ([outputs, channels], BufferPool::default());
            let convolution =
                Int8Convolution::new(window, quantization, &weights, shape, [&factor, &offset]);
            let found = convolution.unwrap().run(&tensor(values), true, &buffers).unwrap();
            // In f32, which holds such sums exactly.
            let dequantised: Vec<f32> = (0..weights.len())
                .map(|index| f32::from(weights[index]) * 2.0 * factor[index / (channels * 9)])
                .collect();
            let exact = Convolution::new(window, 1, &dequantised, shape, &offset, None).unwrap();
            let expected = exact.run(&tensor(clamped), true, &buffers).unwrap();
            assert_eq!(found.values, expected.values, "{channels} channels");
        }
    }
}
