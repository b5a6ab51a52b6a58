//! Batch norm, the sum with a residual if there is one, and an activation: y = f(norm(x) + r), in one
//! kernel forward and one backward. With g the gradient where it passes f and 0 elsewhere, ∂r = g and
//! [`Affine::gradients`] the rest.

use std::mem::MaybeUninit;

use tch::{Kind, Tensor};

use super::activation::{Activation, Identity};
use super::affine::{Affine, InputGradient, Norm};
use super::bridge::{
    for_each, grad_enabled, gradient_as, is_channels_last, part_of, record, uninit, values,
};
use super::channel_sums::ChannelSums;
use super::element::{Bf16, Element};

/// f(norm(map) + residual), or f(norm(map)) without a residual; all are `[N, C, H, W]`.
pub fn norm_activation<A: Activation>(
    map: &Tensor,
    residual: Option<&Tensor>,
    norm: &Norm,
    train: bool,
) -> Tensor {
    let alike = |residual: &Tensor| is_channels_last(residual) && residual.kind() == map.kind();
    let has_kernel = is_channels_last(map) && residual.is_none_or(alike);
    if has_kernel && train {
        return in_training::<A>(map, residual, norm);
    }
    if has_kernel && !grad_enabled() {
        return in_evaluation::<A>(map, residual, norm);
    }
    let output = norm.forward(map, train);
    A::in_libtorch(match residual {
        None => output,
        Some(residual) => output + residual,
    })
}

/// [`norm_activation`] of channels-last maps with the batch's statistics; updates the running ones.
pub fn in_training<A: Activation>(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    match map.kind() {
        Kind::BFloat16 => training_of::<Bf16, A>(map, residual, norm),
        _ => training_of::<f32, A>(map, residual, norm),
    }
}

/// [`norm_activation`] of channels-last maps with the running statistics, outside the graph.
pub fn in_evaluation<A: Activation>(
    map: &Tensor,
    residual: Option<&Tensor>,
    norm: &Norm,
) -> Tensor {
    let affine = norm.running();
    match map.kind() {
        Kind::BFloat16 => affine.activated::<Bf16, A>(map, residual),
        _ => affine.activated::<f32, A>(map, residual),
    }
}

fn training_of<T: Element, A: Activation>(
    map: &Tensor,
    residual: Option<&Tensor>,
    norm: &Norm,
) -> Tensor {
    let affine = norm.of_batch::<T>(map);
    let mut output = affine.activated::<T, A>(map, residual);

    let sum = residual.map(|_| output.detach());
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        affine.backward::<T, A>(&saved, sum.as_ref(), &gradient)
    };
    let inputs = [map, &norm.weight, &norm.bias].into_iter().chain(residual);
    record(&mut output, &inputs.collect::<Vec<_>>(), backward);
    output
}

impl Affine {
    /// f(x · scale + shift + residual).
    fn activated<T: Element, A: Activation>(
        &self,
        map: &Tensor,
        residual: Option<&Tensor>,
    ) -> Tensor {
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
                |((x, r), y)| self.activated_part::<T, A, true>(x, r, y),
            );
        } else {
            for_each(
                parts,
                #[inline(always)]
                |((x, _), y)| self.activated_part::<T, A, false>(x, x, y),
            );
        }
        output
    }

    /// y = f(x · scale + shift), of the sum with r if SUM.
    #[inline(always)]
    fn activated_part<T: Element, A: Activation, const SUM: bool>(
        &self,
        x: &[T],
        r: &[T],
        y: &mut [MaybeUninit<T>],
    ) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let rows = x.chunks_exact(channels).zip(r.chunks_exact(channels));
        for ((x, r), y) in rows.zip(y.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let normed = x[c].get() * scale[c] + shift[c];
                y[c].write(T::of(A::of(if SUM { normed + r[c].get() } else { normed })));
            }
        }
    }

    /// Gradients of x, γ, β, and of the residual if the output of a sum is given.
    fn backward<T: Element, A: Activation>(
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
                |(x, g), sums| self.add::<T, A>(x, g, sums),
            );
            return self.map_gradients::<T, A>(map, gradient, sums).into();
        };
        let mut passed = map.detach().empty_like();
        let outputs = values::<T>(sum).chunks(part);
        let parts = inputs.zip(outputs).zip(gradients);
        let sums = ChannelSums::over(
            parts.zip(uninit::<T>(&mut passed).chunks_mut(part)),
            channels,
            #[inline(always)]
            |(((x, y), g), passed), sums| {
                self.add_through_sum::<T, A>(x, y, g, passed, sums);
            },
        );
        let [input, weight, bias] = self.map_gradients::<T, Identity>(map, &passed, sums);
        vec![input, weight, bias, passed]
    }

    /// Gradients of x, γ and β, from the gradient of y and its sums.
    fn map_gradients<T: Element, A: Activation>(
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
            |((x, g), dx)| self.input_gradient::<T, A>(&coefficients, x, g, dx),
        );
        [result, weight, bias]
    }

    /// Adds Σ g and Σ g (x − μ), with g = 0 where the gradient does not pass.
    #[inline(always)]
    pub fn add<T: Element, A: Activation>(&self, x: &[T], gradient: &[T], sums: &mut ChannelSums) {
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
                    let g = if A::passes(x * scale[c] + shift[c]) { g } else { 0.0 };
                    first[c] += g;
                    second[c] += g * (x - mean[c]);
                }
            },
        );
    }

    /// As `add`, given the output y of a sum; writes g to `passed`.
    #[inline(always)]
    fn add_through_sum<T: Element, A: Activation>(
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
                    let g = if A::passes(y[c].get()) { g } else { 0.0 };
                    passed[c].write(T::of(g));
                    first[c] += g;
                    second[c] += g * (x[c].get() - mean[c]);
                }
            },
        );
    }

    #[inline(always)]
    fn input_gradient<T: Element, A: Activation>(
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
                let g = if A::passes(x * scale[c] + shift[c]) { g } else { 0.0 };
                dx[c].write(T::of(scale[c] * g + constant[c] + linear[c] * (x - mean[c])));
            }
        }
    }
}
