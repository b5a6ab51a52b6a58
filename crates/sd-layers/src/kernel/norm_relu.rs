//! Batch norm, the sum with a residual if there is one, and ReLU: y = relu(norm(x) + r), in one kernel
//! forward and one backward. With g the gradient where y is positive and 0 elsewhere, ∂r = g and
//! [`Affine::gradients`] the rest.

use std::mem::MaybeUninit;

use tch::{Kind, Tensor};

use super::affine::{Affine, InputGradient, Norm, relu};
use super::bridge::{
    for_each, grad_enabled, gradient_as, is_channels_last, part_of, record, uninit, values,
};
use super::channel_sums::ChannelSums;
use super::element::{Bf16, Element};

/// relu(norm(map) + residual), or relu(norm(map)) without a residual; all are `[N, C, H, W]`.
pub fn norm_relu(map: &Tensor, residual: Option<&Tensor>, norm: &Norm, train: bool) -> Tensor {
    let alike = |residual: &Tensor| is_channels_last(residual) && residual.kind() == map.kind();
    let has_kernel = is_channels_last(map) && residual.is_none_or(alike);
    if has_kernel && train {
        return in_training(map, residual, norm);
    }
    if has_kernel && !grad_enabled() {
        return in_evaluation(map, residual, norm);
    }
    let mut output = norm.forward(map, train);
    match residual {
        None => output.relu_(),
        Some(residual) => (output + residual).relu_(),
    }
}

/// [`norm_relu`] of channels-last maps with the batch's statistics; updates the running ones.
pub fn in_training(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    match map.kind() {
        Kind::BFloat16 => training_of::<Bf16>(map, residual, norm),
        _ => training_of::<f32>(map, residual, norm),
    }
}

/// [`norm_relu`] of channels-last maps with the running statistics, outside the graph.
pub fn in_evaluation(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    let affine = norm.running();
    match map.kind() {
        Kind::BFloat16 => affine.relu::<Bf16>(map, residual),
        _ => affine.relu::<f32>(map, residual),
    }
}

fn training_of<T: Element>(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    let affine = norm.of_batch::<T>(map);
    let mut output = affine.relu::<T>(map, residual);

    let sum = residual.map(|_| output.detach());
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        affine.backward::<T>(&saved, sum.as_ref(), &gradient)
    };
    let inputs = [map, &norm.weight, &norm.bias].into_iter().chain(residual);
    record(&mut output, &inputs.collect::<Vec<_>>(), backward);
    output
}

impl Affine {
    /// relu(x · scale + shift + residual).
    fn relu<T: Element>(&self, map: &Tensor, residual: Option<&Tensor>) -> Tensor {
        let mut output = map.detach().empty_like();
        let channels = self.scale.len();
        let part = part_of(map, channels);
        let inputs = values::<T>(map).chunks(part);
        let outputs = uninit::<T>(&mut output).chunks_mut(part);
        let parts = inputs.zip(values::<T>(residual.unwrap_or(map)).chunks(part)).zip(outputs);
        if residual.is_some() {
            for_each(
                parts,
                #[inline(always)]
                |((x, r), y)| self.relu_part::<T, true>(x, r, y),
            );
        } else {
            for_each(
                parts,
                #[inline(always)]
                |((x, _), y)| self.relu_part::<T, false>(x, x, y),
            );
        }
        output
    }

    /// y = relu(x · scale + shift), of the sum with r if SUM.
    #[inline(always)]
    fn relu_part<T: Element, const SUM: bool>(&self, x: &[T], r: &[T], y: &mut [MaybeUninit<T>]) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let rows = x.chunks_exact(channels).zip(r.chunks_exact(channels));
        for ((x, r), y) in rows.zip(y.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let normed = x[c].get() * scale[c] + shift[c];
                y[c].write(T::of(relu(if SUM { normed + r[c].get() } else { normed })));
            }
        }
    }

    /// Gradients of x, γ, β, and of the residual if the output of a sum is given.
    fn backward<T: Element>(
        &self,
        map: &Tensor,
        sum: Option<&Tensor>,
        gradient: &Tensor,
    ) -> Vec<Tensor> {
        let channels = self.scale.len();
        let part = part_of(map, channels);
        let inputs = values::<T>(map).chunks(part);
        let gradients = values::<T>(gradient).chunks(part);
        let Some(sum) = sum else {
            let sums = ChannelSums::over(
                inputs.zip(gradients),
                channels,
                #[inline(always)]
                |(x, g), sums| self.add(x, g, sums),
            );
            return self.map_gradients::<T, true>(map, gradient, sums).into();
        };
        let mut passed = map.detach().empty_like();
        let outputs = values::<T>(sum).chunks(part);
        let parts = inputs.zip(outputs).zip(gradients);
        let sums = ChannelSums::over(
            parts.zip(uninit::<T>(&mut passed).chunks_mut(part)),
            channels,
            #[inline(always)]
            |(((x, y), g), passed), sums| self.add_through_sum(x, y, g, passed, sums),
        );
        let [input, weight, bias] = self.map_gradients::<T, false>(map, &passed, sums);
        vec![input, weight, bias, passed]
    }

    /// Gradients of x, γ and β, from the gradient of y and its sums; RELU if it has not passed ReLU yet.
    fn map_gradients<T: Element, const RELU: bool>(
        &self,
        map: &Tensor,
        gradient: &Tensor,
        sums: [Vec<f64>; 2],
    ) -> [Tensor; 3] {
        let (coefficients, weight, bias) = self.gradients(sums, map);
        let part = part_of(map, self.scale.len());
        let mut result = map.detach().empty_like();
        let parts = values::<T>(map).chunks(part).zip(values::<T>(gradient).chunks(part));
        for_each(
            parts.zip(uninit::<T>(&mut result).chunks_mut(part)),
            #[inline(always)]
            |((x, g), dx)| self.input_gradient::<T, RELU>(&coefficients, x, g, dx),
        );
        [result, weight, bias]
    }

    /// Adds Σ g and Σ g (x − μ), with g = 0 where ReLU is 0; as in libtorch, NaN passes.
    #[inline(always)]
    pub fn add<T: Element>(&self, x: &[T], gradient: &[T], sums: &mut ChannelSums) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let mean = &self.mean[..channels];
        sums.rows(
            x.len() / channels,
            #[inline(always)]
            |row, first, second| {
                let (x, g) =
                    (&x[row * channels..][..channels], &gradient[row * channels..][..channels]);
                let (first, second) = (&mut first[..channels], &mut second[..channels]);
                for c in 0..channels {
                    let x = x[c].get();
                    let g = g[c].get();
                    let g = if x * scale[c] + shift[c] <= 0.0 { 0.0 } else { g };
                    first[c] += g;
                    second[c] += g * (x - mean[c]);
                }
            },
        );
    }

    /// As `add`, given the output y of a sum; writes g to `passed`.
    #[inline(always)]
    fn add_through_sum<T: Element>(
        &self,
        x: &[T],
        y: &[T],
        gradient: &[T],
        passed: &mut [MaybeUninit<T>],
        sums: &mut ChannelSums,
    ) {
        let channels = self.scale.len();
        let mean = &self.mean[..channels];
        sums.rows(
            x.len() / channels,
            #[inline(always)]
            |row, first, second| {
                let range = row * channels..(row + 1) * channels;
                let (x, y) = (&x[range.clone()][..channels], &y[range.clone()][..channels]);
                let g = &gradient[range.clone()][..channels];
                let passed = &mut passed[range][..channels];
                let (first, second) = (&mut first[..channels], &mut second[..channels]);
                for c in 0..channels {
                    let g = g[c].get();
                    let g = if y[c].get() <= 0.0 { 0.0 } else { g };
                    passed[c].write(T::of(g));
                    first[c] += g;
                    second[c] += g * (x[c].get() - mean[c]);
                }
            },
        );
    }

    #[inline(always)]
    fn input_gradient<T: Element, const RELU: bool>(
        &self,
        InputGradient { constant, linear }: &InputGradient,
        x: &[T],
        gradient: &[T],
        result: &mut [MaybeUninit<T>],
    ) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let (mean, constant) = (&self.mean[..channels], &constant[..channels]);
        let linear = &linear[..channels];
        let rows = x.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for ((x, g), dx) in rows.zip(result.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let x = x[c].get();
                let g = g[c].get();
                let g = if RELU && x * scale[c] + shift[c] <= 0.0 { 0.0 } else { g };
                dx[c].write(T::of(scale[c] * g + constant[c] + linear[c] * (x - mean[c])));
            }
        }
    }
}
