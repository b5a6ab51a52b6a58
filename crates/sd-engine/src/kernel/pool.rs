//! Pooling.

use super::channelwise::{ChannelwiseKernel, run_channelwise};
use super::window::Window;
use crate::buffer_pool::BufferPool;
use crate::simd::{FloatLoop, FloatVector, LANES, dispatch_float};
use crate::tensor::Tensor;

/// Pooling over a window.
#[derive(Debug, Clone, Copy)]
pub enum Pool {
    /// Maximum; padding is ignored.
    Max,
    /// Mean; padding counts as zeros.
    Mean,
}

impl Pool {
    /// Pools each channel; `None` if the window does not fit the input.
    pub fn run(self, window: &Window, input: &Tensor, buffers: &BufferPool) -> Option<Tensor> {
        match self {
            Self::Max => run_channelwise(window, &Max, input, false, buffers),
            Self::Mean => {
                let weight = 1.0 / (window.kernel[0] * window.kernel[1]) as f32;
                run_channelwise(window, &Mean { weight }, input, false, buffers)
            }
        }
    }
}

/// The mean of each channel, `[N, 1, 1, C]`.
pub fn global_average(input: &Tensor) -> Tensor {
    let mut values = vec![0.0; input.images * input.channels];
    dispatch_float(GlobalAverage { input, to: &mut values });
    Tensor { height: 1, width: 1, values, ..*input }
}

struct Max;

impl ChannelwiseKernel for Max {
    type Params<'a> = ();

    #[inline(always)]
    fn params(&self, _: usize) {}

    #[inline(always)]
    fn init((): ()) -> [f32; LANES] {
        [f32::NEG_INFINITY; LANES]
    }

    #[inline(always)]
    fn accumulate<F: FloatVector>((): (), max: F, _: usize, input: &[f32; LANES]) -> F {
        max.max(input)
    }
}

struct Mean {
    /// Weight of each tap.
    weight: f32,
}

impl ChannelwiseKernel for Mean {
    type Params<'a> = f32;

    #[inline(always)]
    fn params(&self, _: usize) -> f32 {
        self.weight
    }

    #[inline(always)]
    fn init(_: f32) -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn accumulate<F: FloatVector>(weight: f32, sums: F, _: usize, input: &[f32; LANES]) -> F {
        sums.mul_add_scalar(weight, input)
    }
}

struct GlobalAverage<'a> {
    input: &'a Tensor,
    to: &'a mut [f32],
}

impl FloatLoop for GlobalAverage<'_> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let Self { input, to } = self;
        let (channels, positions) = (input.channels, input.height * input.width);
        let images = input.values.chunks_exact(positions * channels);
        for (image, sums) in images.zip(to.chunks_exact_mut(channels)) {
            for position in image.chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(position) {
                    *sum += value;
                }
            }
            for sum in sums {
                *sum /= positions as f32;
            }
        }
    }
}
