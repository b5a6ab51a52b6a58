//! Depthwise convolutions.

use super::channelwise::ChannelwiseKernel;
use crate::simd::{FloatVector, LANES, to_lanes};

/// Weights and biases of a depthwise convolution, in blocks of 16 channels.
#[derive(Debug)]
pub struct Depthwise {
    /// `[blocks, taps]`, one vector each.
    weights: Vec<[f32; LANES]>,
    /// Positions of the window.
    taps: usize,
    bias: Vec<[f32; LANES]>,
}

impl Depthwise {
    /// Packs weights `[channels, 1, rows, columns]`.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        let taps = weights.len() / bias.len().max(1);
        let vectors = weights.chunks(LANES * taps).flat_map(|channels| {
            let of_tap = move |tap: usize| channels.iter().skip(tap).step_by(taps);
            (0..taps).flat_map(move |tap| to_lanes(&of_tap(tap).copied().collect::<Vec<_>>()))
        });
        Self { weights: vectors.collect(), taps, bias: to_lanes(bias) }
    }
}

impl ChannelwiseKernel for Depthwise {
    /// Biases, and the weights of each tap.
    type Params<'a> = (&'a [f32; LANES], &'a [[f32; LANES]]);

    #[inline(always)]
    fn params(&self, block: usize) -> Self::Params<'_> {
        (&self.bias[block], &self.weights[block * self.taps..][..self.taps])
    }

    #[inline(always)]
    fn init((bias, _): Self::Params<'_>) -> [f32; LANES] {
        *bias
    }

    #[inline(always)]
    fn accumulate<F: FloatVector>(
        (_, weights): Self::Params<'_>,
        sums: F,
        tap: usize,
        input: &[f32; LANES],
    ) -> F {
        sums.mul_add(input, &weights[tap])
    }
}
