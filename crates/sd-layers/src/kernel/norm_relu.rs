//! Batch norm, a residual's sum if there is one, and ReLU, in one kernel forward and one backward.
//!
//! With x̂ = (x − μ) / √(σ² + ε) over the batch, y = relu(γ x̂ + β + r). Backward, with g the
//! gradient where y is positive and 0 elsewhere, and M positions (Ioffe and Szegedy 2015, section
//! 3): ∂β = Σ g, ∂γ = Σ g x̂, ∂r = g, ∂x = γ / √(σ² + ε) · (g − ∂β / M − x̂ ∂γ / M).

use tch::{Kind, Tensor};

use super::bridge::{for_each, in_layout_of, part_of, record, values, values_mut};
use super::channel_sums::ChannelSums;
use super::element::{Bf16, Element};

/// The tensors and constants of a batch norm; tensors are `[C]` in `f32`.
#[derive(Debug)]
pub struct Norm {
    /// γ.
    pub weight: Tensor,
    /// β.
    pub bias: Tensor,
    /// Average of μ over the steps.
    pub running_mean: Tensor,
    /// Average of the unbiased σ² over the steps.
    pub running_var: Tensor,
    /// ε.
    pub epsilon: f64,
    /// Share of a step's statistics in the averages.
    pub momentum: f64,
}

/// relu(norm(map) + residual) with the batch's statistics; moves the running ones.
///
/// `map`, `residual` and the result are `[N, C, H, W]`, channels-last.
pub fn train(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    match map.kind() {
        Kind::BFloat16 => train_in::<Bf16>(map, residual, norm),
        _ => train_in::<f32>(map, residual, norm),
    }
}

/// relu(norm(map) + residual) with the running statistics, outside the graph.
pub fn infer(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    let (mean, variance) = (values::<f32>(&norm.running_mean), values::<f32>(&norm.running_var));
    let affine = Affine::of(norm, mean, variance);
    match map.kind() {
        Kind::BFloat16 => affine.relu::<Bf16>(map, residual),
        _ => affine.relu::<f32>(map, residual),
    }
}

fn train_in<T: Element>(map: &Tensor, residual: Option<&Tensor>, norm: &Norm) -> Tensor {
    let (mean, variance) = moments::<T>(map, norm.weight.numel());
    norm.move_averages(&mean, &variance, map);
    let affine = Affine::of(norm, &mean, &variance);
    let mut output = affine.relu::<T>(map, residual);

    let sum = residual.map(|_| output.detach());
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = in_layout_of(&saved, gradient);
        affine.backward::<T>(&saved, sum.as_ref(), &gradient)
    };
    let inputs = [map, &norm.weight, &norm.bias].into_iter().chain(residual);
    record(&mut output, &inputs.collect::<Vec<_>>(), backward);
    output
}

/// Mean and biased variance of each channel. Sums are of x − k with k the map's first row, so
/// that a mean far from zero costs no digits of the variance.
fn moments<T: Element>(map: &Tensor, channels: usize) -> (Vec<f32>, Vec<f32>) {
    let x = values::<T>(map);
    let origin: Vec<f32> = x[..channels].iter().map(|x| x.get()).collect();
    let parts = x.chunks(part_of(map, channels));
    let [sum, square] = ChannelSums::over(parts, channels, |x, sums| {
        sums.rows(x.len() / channels, |row, sum, square| {
            let (x, origin) = (&x[row * channels..][..channels], &origin[..channels]);
            let (sum, square) = (&mut sum[..channels], &mut square[..channels]);
            for c in 0..channels {
                let distance = x[c].get() - origin[c];
                sum[c] += distance;
                square[c] += distance * distance;
            }
        });
    });
    let positions = (x.len() / channels) as f64;
    let mean = (0..channels).map(|c| (f64::from(origin[c]) + sum[c] / positions) as f32);
    let variance = sum.iter().zip(&square).map(|(sum, square)| {
        let distance = sum / positions;
        (square / positions - distance * distance).max(0.0) as f32
    });
    (mean.collect(), variance.collect())
}

impl Norm {
    fn move_averages(&self, mean: &[f32], variance: &[f32], map: &Tensor) {
        let positions = (map.numel() / mean.len()) as f32;
        let unbiased = positions / (positions - 1.0).max(1.0);
        let share = self.momentum as f32;
        let averages = [(&self.running_mean, mean, 1.0), (&self.running_var, variance, unbiased)];
        for (average, batch, factor) in averages {
            let mut average = average.shallow_clone();
            for (average, batch) in values_mut::<f32>(&mut average).iter_mut().zip(batch) {
                *average += share * (batch * factor - *average);
            }
        }
    }
}

/// Batch norm as x · scale + shift by channel.
struct Affine {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    fn of(norm: &Norm, mean: &[f32], variance: &[f32]) -> Self {
        let (weight, bias) = (values::<f32>(&norm.weight), values::<f32>(&norm.bias));
        let inverse = |&variance: &f32| 1.0 / (f64::from(variance) + norm.epsilon).sqrt();
        let inverse_deviation: Vec<f32> = variance.iter().map(|v| inverse(v) as f32).collect();
        let scale: Vec<f32> = weight.iter().zip(&inverse_deviation).map(|(w, d)| w * d).collect();
        let shift = (0..mean.len()).map(|c| bias[c] - mean[c] * scale[c]).collect();
        Self { mean: mean.to_vec(), inverse_deviation, scale, shift }
    }

    /// relu(x · scale + shift + residual).
    fn relu<T: Element>(&self, map: &Tensor, residual: Option<&Tensor>) -> Tensor {
        let mut output = map.detach().empty_like();
        let channels = self.scale.len();
        let part = part_of(map, channels);
        let inputs = values::<T>(map).chunks(part);
        let outputs = values_mut::<T>(&mut output).chunks_mut(part);
        match residual.map(values::<T>) {
            None => for_each(inputs.zip(outputs), |(x, y)| self.relu_part(x, y)),
            Some(residual) => {
                let inputs = inputs.zip(residual.chunks(part));
                for_each(inputs.zip(outputs), |((x, r), y)| self.relu_of_sum_part(x, r, y));
            }
        }
        output
    }

    #[inline(always)]
    fn relu_part<T: Element>(&self, x: &[T], y: &mut [T]) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for c in 0..channels {
                y[c] = T::of(relu(x[c].get() * scale[c] + shift[c]));
            }
        }
    }

    #[inline(always)]
    fn relu_of_sum_part<T: Element>(&self, x: &[T], r: &[T], y: &mut [T]) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let rows = x.chunks_exact(channels).zip(r.chunks_exact(channels));
        for ((x, r), y) in rows.zip(y.chunks_exact_mut(channels)) {
            for c in 0..channels {
                y[c] = T::of(relu(x[c].get() * scale[c] + shift[c] + r[c].get()));
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
        let inputs = || values::<T>(map).chunks(part);
        let gradients = values::<T>(gradient).chunks(part);
        let Some(sum) = sum else {
            let parts = inputs().zip(gradients.clone());
            let sums = ChannelSums::over(parts, channels, |(x, g), sums| self.add(x, g, sums));
            let slope = Slope::of(self, sums, map);
            let mut result = map.detach().empty_like();
            let results = values_mut::<T>(&mut result).chunks_mut(part);
            for_each(inputs().zip(gradients).zip(results), |((x, g), dx)| {
                self.input_gradient::<T, true>(&slope, x, g, dx);
            });
            return vec![result, slope.weight(), slope.bias()];
        };
        let mut passed = map.detach().empty_like();
        let sums = {
            let outputs = values::<T>(sum).chunks(part);
            let passed = values_mut::<T>(&mut passed).chunks_mut(part);
            let parts = inputs().zip(outputs).zip(gradients).zip(passed);
            ChannelSums::over(parts, channels, |(((x, y), g), passed), sums| {
                self.add_through_sum(x, y, g, passed, sums);
            })
        };
        let slope = Slope::of(self, sums, map);
        let mut result = map.detach().empty_like();
        let results = values_mut::<T>(&mut result).chunks_mut(part);
        let gradients = values::<T>(&passed).chunks(part);
        for_each(inputs().zip(gradients).zip(results), |((x, g), dx)| {
            self.input_gradient::<T, false>(&slope, x, g, dx);
        });
        vec![result, slope.weight(), slope.bias(), passed]
    }

    /// Adds Σ g and Σ g (x − μ), g being 0 where ReLU was; as in libtorch, a NaN passes.
    #[inline(always)]
    fn add<T: Element>(&self, x: &[T], gradient: &[T], sums: &mut ChannelSums) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let mean = &self.mean[..channels];
        sums.rows(x.len() / channels, |row, first, second| {
            let (x, g) = (&x[row * channels..][..channels], &gradient[row * channels..][..channels]);
            let (first, second) = (&mut first[..channels], &mut second[..channels]);
            for c in 0..channels {
                let x = x[c].get();
                let g = if x * scale[c] + shift[c] <= 0.0 { 0.0 } else { g[c].get() };
                first[c] += g;
                second[c] += g * (x - mean[c]);
            }
        });
    }

    /// As `add`, with the output y of a sum, and writes g to `passed`.
    #[inline(always)]
    fn add_through_sum<T: Element>(
        &self,
        x: &[T],
        y: &[T],
        gradient: &[T],
        passed: &mut [T],
        sums: &mut ChannelSums,
    ) {
        let channels = self.scale.len();
        let mean = &self.mean[..channels];
        sums.rows(x.len() / channels, |row, first, second| {
            let place = row * channels..(row + 1) * channels;
            let (x, y) = (&x[place.clone()][..channels], &y[place.clone()][..channels]);
            let g = &gradient[place.clone()][..channels];
            let passed = &mut passed[place][..channels];
            let (first, second) = (&mut first[..channels], &mut second[..channels]);
            for c in 0..channels {
                let g = if y[c].get() <= 0.0 { 0.0 } else { g[c].get() };
                passed[c] = T::of(g);
                first[c] += g;
                second[c] += g * (x[c].get() - mean[c]);
            }
        });
    }

    /// ∂x = scale · g + at_mean + by_distance · (x − μ).
    #[inline(always)]
    fn input_gradient<T: Element, const RELU: bool>(
        &self,
        slope: &Slope,
        x: &[T],
        gradient: &[T],
        result: &mut [T],
    ) {
        let channels = self.scale.len();
        let (scale, shift) = (&self.scale[..channels], &self.shift[..channels]);
        let (mean, at_mean) = (&self.mean[..channels], &slope.at_mean[..channels]);
        let by_distance = &slope.by_distance[..channels];
        let rows = x.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for ((x, g), dx) in rows.zip(result.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let x = x[c].get();
                let blocked = RELU && x * scale[c] + shift[c] <= 0.0;
                let g = if blocked { 0.0 } else { g[c].get() };
                dx[c] = T::of(scale[c] * g + at_mean[c] + by_distance[c] * (x - mean[c]));
            }
        }
    }
}

/// What the sums of a backward pass give.
struct Slope {
    weight_gradient: Vec<f32>,
    bias_gradient: Vec<f32>,
    at_mean: Vec<f32>,
    by_distance: Vec<f32>,
}

impl Slope {
    /// From Σ g and Σ g (x − μ).
    fn of(affine: &Affine, [sum, distance]: [Vec<f64>; 2], map: &Tensor) -> Self {
        let channels = affine.scale.len();
        let positions = (map.numel() / channels) as f64;
        let inverse = |c: usize| f64::from(affine.inverse_deviation[c]);
        let share = |c: usize| -f64::from(affine.scale[c]) / positions;
        Self {
            weight_gradient: (0..channels).map(|c| (distance[c] * inverse(c)) as f32).collect(),
            bias_gradient: sum.iter().map(|&sum| sum as f32).collect(),
            at_mean: (0..channels).map(|c| (share(c) * sum[c]) as f32).collect(),
            by_distance: (0..channels)
                .map(|c| (share(c) * distance[c] * inverse(c) * inverse(c)) as f32)
                .collect(),
        }
    }

    fn weight(&self) -> Tensor {
        Tensor::from_slice(&self.weight_gradient)
    }

    fn bias(&self) -> Tensor {
        Tensor::from_slice(&self.bias_gradient)
    }
}

/// max(value, 0), but a NaN stays one.
#[inline(always)]
fn relu(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}
