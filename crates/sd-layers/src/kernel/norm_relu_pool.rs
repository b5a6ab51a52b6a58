//! Batch norm, ReLU and a 2×2 max pool in one kernel forward and one backward, without writing the map
//! between them, which is four times the result.

use std::mem::MaybeUninit;

use tch::{Device, Kind, Tensor};

use super::activation::{Activation, Relu};
use super::affine::{Affine, InputGradient, Norm};
use super::bridge::{for_each, gradient_as, is_channels_last, record, uninit, values};
use super::channel_sums::ChannelSums;
use super::element::{Bf16, Element};
use super::norm_activation::norm_activation;

/// max_pool(relu(norm(map))) in windows of 2×2: `[N, C, H, W]` to `[N, C, H/2, W/2]`.
pub fn norm_relu_max_pool(map: &Tensor, norm: &Norm, train: bool) -> Tensor {
    let even = map.size()[2..].iter().all(|side| side % 2 == 0);
    if train && even && is_channels_last(map) {
        return in_training(map, norm);
    }
    norm_activation::<Relu>(map, None, norm, train).max_pool2d(
        [2, 2],
        [2, 2],
        [0, 0],
        [1, 1],
        false,
    )
}

/// [`norm_relu_max_pool`] of a channels-last map of even sides with the batch's statistics; updates
/// the running ones.
pub fn in_training(map: &Tensor, norm: &Norm) -> Tensor {
    match map.kind() {
        Kind::BFloat16 => training_of::<Bf16>(map, norm),
        _ => training_of::<f32>(map, norm),
    }
}

fn training_of<T: Element>(map: &Tensor, norm: &Norm) -> Tensor {
    let affine = norm.of_batch::<T>(map);
    let (mut output, chosen) = affine.relu_pool::<T>(map);
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        affine.pool_backward::<T>(&saved, &chosen, &gradient)
    };
    record(&mut output, &[map, &norm.weight, &norm.bias], backward);
    output
}

/// The position in its window that each output comes from.
struct Argmax {
    /// x there, `[N, C, H/2, W/2]`.
    value: Tensor,
    /// 0 to 3, row by row; the first of equals.
    index: Tensor,
}

/// The 2×2 windows of two rows of an image, each as the channels at its four positions, row by row.
#[inline(always)]
fn windows<T>(pair: &[T], channels: usize) -> impl Iterator<Item = [&[T]; 4]> {
    let (above, below) = pair.split_at(pair.len() / 2);
    let columns = above.chunks_exact(2 * channels).zip(below.chunks_exact(2 * channels));
    columns.map(
        #[inline(always)]
        move |(above, below)| {
            let (above, below) = (above.split_at(channels), below.split_at(channels));
            [above.0, above.1, below.0, below.1]
        },
    )
}

/// Length of each thread's part of a map of pairs of image rows of length `pair`.
fn pairs_of(map: &Tensor, pair: usize) -> usize {
    (map.numel() / pair).div_ceil(tch::get_num_threads() as usize).max(1) * pair
}

impl Affine {
    fn relu_pool<T: Element>(&self, map: &Tensor) -> (Tensor, Argmax) {
        let (n, c, h, w) = map.size4().expect("a feature map has four axes");
        let empty =
            |kind| Tensor::empty([n, h / 2, w / 2, c], (kind, Device::Cpu)).permute([0, 3, 1, 2]);
        let (mut output, mut value, mut index) =
            (empty(map.kind()), empty(map.kind()), empty(Kind::Uint8));
        let pair = (2 * w * c) as usize;
        let part = pairs_of(map, pair);
        let results = uninit::<T>(&mut output)
            .chunks_mut(part / 4)
            .zip(uninit::<T>(&mut value).chunks_mut(part / 4))
            .zip(uninit::<u8>(&mut index).chunks_mut(part / 4));
        for_each(
            values::<T>(map).chunks(part).zip(results),
            #[inline(always)]
            |(x, ((y, value), index))| self.relu_pool_part(pair, x, y, value, index),
        );
        (output, Argmax { value, index })
    }

    #[inline(always)]
    fn relu_pool_part<T: Element>(
        &self,
        pair: usize,
        x: &[T],
        y: &mut [MaybeUninit<T>],
        value: &mut [MaybeUninit<T>],
        index: &mut [MaybeUninit<u8>],
    ) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let mut outputs = y
            .chunks_exact_mut(channels)
            .zip(value.chunks_exact_mut(channels))
            .zip(index.chunks_exact_mut(channels));
        for pair in x.chunks_exact(pair) {
            for (x, ((y, value), index)) in windows(pair, channels).zip(&mut outputs) {
                for c in 0..channels {
                    let mut chosen = x[0][c].get();
                    let mut largest = chosen * scale[c] + shift[c];
                    let mut which = 0u8;
                    for (candidate, x) in (1..).zip(&x[1..]) {
                        let x = x[c].get();
                        let candidate_value = x * scale[c] + shift[c];
                        // NaN is kept, as in libtorch.
                        if candidate_value > largest || candidate_value.is_nan() {
                            (largest, chosen, which) = (candidate_value, x, candidate);
                        }
                    }
                    y[c].write(T::of(Relu::of(largest)));
                    value[c].write(T::of(chosen));
                    index[c].write(which);
                }
            }
        }
    }

    /// Gradients of x, γ and β.
    fn pool_backward<T: Element>(
        &self,
        map: &Tensor,
        chosen: &Argmax,
        gradient: &Tensor,
    ) -> Vec<Tensor> {
        let channels = self.scale.len();
        let pair = 2 * map.size()[3] as usize * channels;
        let part = pairs_of(map, pair);
        let pooled = || {
            values::<T>(&chosen.value).chunks(part / 4).zip(values::<T>(gradient).chunks(part / 4))
        };
        let sums = ChannelSums::over(
            pooled(),
            channels,
            #[inline(always)]
            |(x, g), sums| self.add::<T, Relu>(x, g, sums),
        );
        let (coefficients, weight, bias) = self.gradients(sums, map);
        let mut result = map.detach().empty_like();
        let results = uninit::<T>(&mut result).chunks_mut(part);
        let pooled = pooled().zip(values::<u8>(&chosen.index).chunks(part / 4));
        for_each(
            values::<T>(map).chunks(part).zip(pooled).zip(results),
            #[inline(always)]
            |((x, ((value, g), index)), dx)| {
                self.pool_input_gradient(&coefficients, pair, x, (value, g, index), dx);
            },
        );
        vec![result, weight, bias]
    }

    #[inline(always)]
    fn pool_input_gradient<T: Element>(
        &self,
        InputGradient { constant, linear }: &InputGradient,
        pair: usize,
        x: &[T],
        (value, gradient, index): (&[T], &[T], &[u8]),
        result: &mut [MaybeUninit<T>],
    ) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let (mean, constant) = (&self.mean[..channels], &constant[..channels]);
        let linear = &linear[..channels];
        let row = pair / 2;
        let rows = x.chunks_exact(row).zip(result.chunks_exact_mut(row)).enumerate();
        for (number, (x, dx)) in rows {
            let first_output = number / 2 * (row / 2);
            let columns = x.chunks_exact(channels).zip(dx.chunks_exact_mut(channels)).enumerate();
            for (column, (x, dx)) in columns {
                let output = first_output + column / 2 * channels;
                let here = (number % 2 * 2 + column % 2) as u8;
                let value = &value[output..][..channels];
                let gradient = &gradient[output..][..channels];
                let index = &index[output..][..channels];
                for c in 0..channels {
                    let passes =
                        index[c] == here && Relu::passes(value[c].get() * scale[c] + shift[c]);
                    let g = if passes { gradient[c].get() } else { 0.0 };
                    let slope = linear[c] * (x[c].get() - mean[c]);
                    dx[c].write(T::of(scale[c] * g + constant[c] + slope));
                }
            }
        }
    }
}
