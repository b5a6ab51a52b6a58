//! Batch norm as an affine map of each channel, and the coefficients of its backward pass.
//!
//! With x̂ = (x − μ) / √(σ² + ε) over the batch, y = γ x̂ + β. Backward, with g the gradient of y
//! and M positions (Ioffe and Szegedy 2015, section 3): ∂β = Σ g, ∂γ = Σ g x̂,
//! ∂x = γ / √(σ² + ε) · (g − ∂β / M − x̂ ∂γ / M).

use tch::Tensor;

use super::bridge::{cells, part_of, values};
use super::channel_sums::ChannelSums;
use super::element::Element;
use super::synchronised::{self, Synchronisation};

/// The tensors and constants of a batch norm; tensors are `[C]` in `f32`.
#[derive(Debug)]
pub struct Norm {
    /// γ.
    pub weight: Tensor,
    /// β.
    pub bias: Tensor,
    /// Running mean of μ.
    pub running_mean: Tensor,
    /// Running mean of the unbiased σ².
    pub running_var: Tensor,
    /// ε.
    pub epsilon: f64,
    /// Weight of a step's statistics in the running ones.
    pub momentum: f64,
}

impl Norm {
    /// Batch norm by libtorch, with the batch's statistics while training.
    pub fn forward(&self, map: &Tensor, train: bool) -> Tensor {
        if let Some(synchronisation) = synchronised::current().filter(|_| train) {
            return synchronised::forward(self, map, synchronisation);
        }
        map.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            self.momentum,
            self.epsilon,
            true,
        )
    }

    /// The affine map of the running statistics.
    pub fn running(&self) -> Affine {
        Affine::of(self, values(&self.running_mean), values(&self.running_var), None)
    }

    /// The affine map of the statistics of `map`; updates the running ones.
    pub fn of_batch<T: Element>(&self, map: &Tensor) -> Affine {
        let synchronisation = synchronised::current();
        let (mut mean, mut variance) = moments::<T>(map, self.weight.numel());
        let mut positions = map.numel() / mean.len();
        if let Some(synchronisation) = &synchronisation {
            synchronisation.combine(&mut mean, &mut variance);
            positions *= synchronisation.processes;
        }
        let [mean, variance] = [mean, variance].map(in_f32);
        self.update_running(&mean, &variance, positions as f32);
        Affine::of(self, &mean, &variance, synchronisation)
    }

    fn update_running(&self, mean: &[f32], variance: &[f32], positions: f32) {
        let unbiased = positions / (positions - 1.0).max(1.0);
        let momentum = self.momentum as f32;
        let averages = [(&self.running_mean, mean, 1.0), (&self.running_var, variance, unbiased)];
        for (average, batch, factor) in averages {
            for (average, batch) in cells::<f32>(average).iter().zip(batch) {
                average.set(average.get() + momentum * (batch * factor - average.get()));
            }
        }
    }
}

/// Batch norm as x · scale + shift by channel.
pub struct Affine {
    /// μ.
    pub mean: Vec<f32>,
    /// 1 / √(σ² + ε).
    pub inverse_deviation: Vec<f32>,
    /// γ / √(σ² + ε).
    pub scale: Vec<f32>,
    /// β − μ · scale.
    pub shift: Vec<f32>,
    /// With other processes, whose positions count too.
    synchronisation: Option<Synchronisation>,
}

impl Affine {
    fn of(
        norm: &Norm,
        mean: &[f32],
        variance: &[f32],
        synchronisation: Option<Synchronisation>,
    ) -> Self {
        let (weight, bias) = (values::<f32>(&norm.weight), values::<f32>(&norm.bias));
        let inverse = |&variance: &f32| 1.0 / (f64::from(variance) + norm.epsilon).sqrt();
        let inverse_deviation: Vec<f32> = variance.iter().map(|v| inverse(v) as f32).collect();
        let scale: Vec<f32> = weight.iter().zip(&inverse_deviation).map(|(w, d)| w * d).collect();
        let shift = (0..mean.len()).map(|c| bias[c] - mean[c] * scale[c]).collect();
        Self { mean: mean.to_vec(), inverse_deviation, scale, shift, synchronisation }
    }

    /// ∂x, ∂γ and ∂β from Σ g and Σ g (x − μ) over the positions of `map`.
    pub fn gradients(&self, own: [Vec<f64>; 2], map: &Tensor) -> (InputGradient, Tensor, Tensor) {
        let channels = 0..self.scale.len();
        let mut positions = (map.numel() / channels.len()) as f64;
        let [mut sum, mut distance] = own.clone();
        if let Some(synchronisation) = &self.synchronisation {
            synchronisation.sum(&mut [&mut sum, &mut distance]);
            positions *= synchronisation.processes as f64;
        }
        let inverse = |c: usize| f64::from(self.inverse_deviation[c]);
        let share = |c: usize| -f64::from(self.scale[c]) / positions;
        let linear = |c| (share(c) * distance[c] * inverse(c) * inverse(c)) as f32;
        let input = InputGradient {
            constant: channels.clone().map(|c| (share(c) * sum[c]) as f32).collect(),
            linear: channels.clone().map(linear).collect(),
        };
        // Those of the other processes are added when gradients are averaged.
        let [sum, distance] = own;
        let weight: Vec<f32> = channels.map(|c| (distance[c] * inverse(c)) as f32).collect();
        let bias = in_f32(sum);
        (input, Tensor::from_slice(&weight), Tensor::from_slice(&bias))
    }
}

/// Mean and biased variance of each channel. The sums are of x − k, with k the map's first row, so
/// that a mean far from zero does not cancel digits of the variance.
fn moments<T: Element>(map: &Tensor, channels: usize) -> (Vec<f64>, Vec<f64>) {
    let x = values::<T>(map);
    let origin: Vec<f32> = x[..channels].iter().map(|x| x.get()).collect();
    let parts = x.chunks(part_of(map, channels));
    let [sum, square] = ChannelSums::over(
        parts,
        channels,
        #[inline(always)]
        |x, sums| {
            sums.rows(
                x.len() / channels,
                #[inline(always)]
                |row, sum, square| {
                    let (x, origin) = (&x[row * channels..][..channels], &origin[..channels]);
                    let (sum, square) = (&mut sum[..channels], &mut square[..channels]);
                    for c in 0..channels {
                        let distance = x[c].get() - origin[c];
                        sum[c] += distance;
                        square[c] += distance * distance;
                    }
                },
            );
        },
    );
    let positions = (x.len() / channels) as f64;
    let mean = (0..channels).map(|c| f64::from(origin[c]) + sum[c] / positions);
    let variance = sum.iter().zip(&square).map(|(sum, square)| {
        let distance = sum / positions;
        (square / positions - distance * distance).max(0.0)
    });
    (mean.collect(), variance.collect())
}

fn in_f32(numbers: Vec<f64>) -> Vec<f32> {
    numbers.into_iter().map(|number| number as f32).collect()
}

/// The coefficients of ∂x = scale · g + constant + linear · (x − μ) by channel.
pub struct InputGradient {
    pub constant: Vec<f32>,
    pub linear: Vec<f32>,
}
