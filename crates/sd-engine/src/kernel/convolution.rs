//! `f32` convolutions.

use super::channelwise::run_channelwise;
use super::depthwise::Depthwise;
use super::gemm::{FloatMatrix, PackedMatrix, Rows};
use super::window::{Padded, Window};
use super::winograd::Winograd;
use crate::buffer_pool::BufferPool;
use crate::tensor::Tensor;

/// A convolution with biases.
#[derive(Debug)]
pub struct Convolution {
    window: Window,
    inputs: usize,
    algorithm: Algorithm,
}

#[derive(Debug)]
enum Algorithm {
    Depthwise(Depthwise),
    Winograd(Winograd),
    /// A matrix product for each group.
    Gemm(Vec<FloatMatrix>),
}

impl Convolution {
    /// Packs weights `[outputs, inputs / groups, rows, columns]` for the fastest algorithm at this
    /// `output_size`, if it is known. `None` if the sizes contradict each other.
    pub fn new(
        window: Window,
        groups: usize,
        weights: &[f32],
        shape @ [outputs, group_inputs]: [usize; 2],
        bias: &[f32],
        output_size: Option<[usize; 2]>,
    ) -> Option<Self> {
        let is_consistent = groups > 0
            && outputs > 0
            && group_inputs > 0
            && outputs % groups == 0
            && bias.len() == outputs
            && outputs.checked_mul(group_inputs)?.checked_mul(window.taps())? == weights.len();
        if !is_consistent || !window.is_valid() {
            return None;
        }
        let algorithm = if group_inputs == 1 && groups == outputs && groups > 1 {
            Algorithm::Depthwise(Depthwise::new(weights, bias))
        } else if groups == 1
            && output_size.is_some_and(|size| Winograd::is_faster(&window, shape, size))
        {
            Algorithm::Winograd(Winograd::new(window, weights, group_inputs, bias))
        } else {
            Algorithm::Gemm(pack_groups(groups, weights, group_inputs, window.taps(), bias))
        };
        Some(Self { window, inputs: group_inputs.checked_mul(groups)?, algorithm })
    }

    /// Convolves, followed by a ReLU if `relu`; `None` if the input's shape does not fit.
    pub fn run(&self, input: &Tensor, relu: bool, buffers: &BufferPool) -> Option<Tensor> {
        if input.channels != self.inputs {
            return None;
        }
        match &self.algorithm {
            Algorithm::Depthwise(depthwise) => {
                run_channelwise(&self.window, depthwise, input, relu, buffers)
            }
            Algorithm::Winograd(winograd) => winograd.run(input, relu, buffers),
            Algorithm::Gemm(groups) => self.run_groups(groups, input, relu, buffers),
        }
    }

    fn run_groups(
        &self,
        groups: &[FloatMatrix],
        input: &Tensor,
        relu: bool,
        buffers: &BufferPool,
    ) -> Option<Tensor> {
        let output_size @ [rows, columns] = self.window.output_size(input.size())?;
        let channels = groups.iter().map(PackedMatrix::outputs).sum();
        let mut output = Tensor::acquire(buffers, input.images, [rows, columns, channels])?;
        let padded = Padded::zeros(input, &self.window)?;
        let group_inputs = input.channels / groups.len();
        let row_offsets = padded.row_offsets(output_size);
        let (segment_offsets, segment_len) = padded.segments(group_inputs);
        let (mut from, mut to) = (0, 0);
        for matrix in groups {
            // Both are empty for a batch without images.
            let values = padded.values.get(from..).unwrap_or_default();
            let output = output.values.get_mut(to..).unwrap_or_default();
            let (row_offsets, segment_offsets) = (&row_offsets[..], &segment_offsets[..]);
            let rows = Rows { values, row_offsets, segment_offsets, segment_len };
            matrix.multiply_into(&rows, relu, output, channels);
            from += group_inputs;
            to += matrix.outputs();
        }
        Some(output)
    }
}

/// Packs the weights of each group, tap by tap with all channels of a tap together, as the rows of
/// the product lie in memory.
fn pack_groups(
    groups: usize,
    weights: &[f32],
    inputs: usize,
    taps: usize,
    bias: &[f32],
) -> Vec<FloatMatrix> {
    let outputs = bias.len() / groups;
    let pack = |group: usize| {
        let first = group * outputs;
        let weights = &weights[first * inputs * taps..];
        let fill = |output: usize, row: &mut [f32]| {
            let weights = &weights[output * inputs * taps..];
            for (k, weight) in row.iter_mut().enumerate() {
                *weight = weights[k % inputs * taps + k / inputs];
            }
        };
        PackedMatrix::new(&bias[first..][..outputs], taps * inputs, fill)
    };
    (0..groups).map(pack).collect()
}

#[cfg(test)]
mod tests;
