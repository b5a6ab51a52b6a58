//! Depthwise convolution, forward and backward.
//!
//! libtorch has fast CPU loops for some sizes only: without AVX-512, the weights' gradient on a 2×2 map
//! takes a hundred times as long as its multiplications.

use std::mem::MaybeUninit;

use tch::{Kind, Tensor};

use super::bridge::{for_each, gradient_as, record, uninit, values};
use super::element::{Bf16, Element};
use super::geometry::Geometry;
use crate::shape::Window;

/// Channels processed at once: their sums fit into vector registers.
const LANES: usize = 32;

/// Rows summed in `f32` before they are added in `f64`.
const BLOCK: usize = 32;

/// The convolution of each channel of `map` `[N, C, H, W]`, channels-last, with its own window of
/// `weight` `[C, 1, K, K]`, `f32`: `[N, C, H', W']`.
pub fn depthwise(map: &Tensor, weight: &Tensor, window: Window) -> Tensor {
    match map.kind() {
        Kind::BFloat16 => depthwise_in::<Bf16>(map, weight, window),
        _ => depthwise_in::<f32>(map, weight, window),
    }
}

fn depthwise_in<T: Element>(map: &Tensor, weight: &Tensor, window: Window) -> Tensor {
    let geometry = Geometry::of(map, window);
    let taps = geometry.taps_of(weight);
    let mut output = geometry.empty(geometry.output, geometry.channels, map.kind());
    geometry.gather(values::<T>(map), &taps, uninit::<T>(&mut output), geometry.output, |at, k| {
        geometry.input_of(at, k)
    });
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        let gradient = values::<T>(&gradient);
        let mut input = saved.detach().empty_like();
        let outputs = uninit::<T>(&mut input);
        geometry
            .gather(gradient, &taps, outputs, geometry.input, |at, k| geometry.output_of(at, k));
        let weight = geometry.weight_gradient(values::<T>(&saved), gradient);
        vec![input, weight]
    };
    record(&mut output, &[map, weight], backward);
    output
}

impl Geometry {
    /// The weights as `[K · K, C]`.
    fn taps_of(&self, weight: &Tensor) -> Vec<f32> {
        let (weight, size) = (values::<f32>(weight), self.kernel() * self.kernel());
        let tap = |k: usize| (0..self.channels).map(move |c| weight[c * size + k]);
        (0..size).flat_map(tap).collect()
    }

    /// Each position of the map `to` as the weighted sum of the positions of `from` that `source`
    /// returns for its taps.
    fn gather<T: Element>(
        &self,
        from: &[T],
        taps: &[f32],
        to: &mut [MaybeUninit<T>],
        size: [usize; 2],
        source: impl Fn([usize; 2], usize) -> Option<usize> + Sync,
    ) {
        let from_size = if size == self.output { self.input } else { self.output };
        let row = size[1] * self.channels;
        let rows = (self.images * size[0]).div_ceil(tch::get_num_threads() as usize).max(1);
        let parts = to.chunks_mut(rows * row).enumerate();
        for_each(
            parts,
            #[inline(always)]
            |(part, to)| {
                let mut reads = Vec::with_capacity(self.kernel() * self.kernel());
                for (index, to) in to.chunks_exact_mut(row).enumerate() {
                    let (image, y) =
                        ((part * rows + index) / size[0], (part * rows + index) % size[0]);
                    for (x, to) in to.chunks_exact_mut(self.channels).enumerate() {
                        reads.clear();
                        for k in 0..self.kernel() * self.kernel() {
                            if let Some(position) = source([y, x], k) {
                                let position = image * from_size[0] * from_size[1] + position;
                                reads.push((position * self.channels, k * self.channels));
                            }
                        }
                        weighted_sum(from, taps, &reads, to);
                    }
                }
            },
        );
    }

    /// Σ over images and positions of input · gradient, `[C, 1, K, K]`.
    fn weight_gradient<T: Element>(&self, input: &[T], gradient: &[T]) -> Tensor {
        let size = self.kernel() * self.kernel() * self.channels;
        let rows = self.images * self.output[0];
        let part = rows.div_ceil(tch::get_num_threads() as usize).max(1);
        let starts: Vec<usize> = (0..rows).step_by(part).collect();
        let mut sums = vec![vec![0.0f64; size]; starts.len()];
        for_each(
            starts.into_iter().zip(&mut sums),
            #[inline(always)]
            |(start, total)| {
                let mut block = vec![0.0f32; size];
                for row in start..rows.min(start + part) {
                    self.add_row(row, input, gradient, &mut block);
                    if row % BLOCK == BLOCK - 1 || row + 1 == rows.min(start + part) {
                        for (block, total) in block.iter_mut().zip(total.iter_mut()) {
                            *total += f64::from(std::mem::take(block));
                        }
                    }
                }
            },
        );
        let taps = self.kernel() * self.kernel();
        let gradient: Vec<f32> = (0..size)
            .map(|at| (at % taps) * self.channels + at / taps)
            .map(|at| sums.iter().map(|part| part[at]).sum::<f64>() as f32)
            .collect();
        let size = [self.channels as i64, 1, self.window.kernel, self.window.kernel];
        Tensor::from_slice(&gradient).view(size)
    }

    /// Adds a row of the output's gradient to the gradient of the taps, `[K · K, C]`.
    #[inline(always)]
    fn add_row<T: Element>(&self, row: usize, input: &[T], gradient: &[T], sums: &mut [f32]) {
        let (image, y, channels) = (row / self.output[0], row % self.output[0], self.channels);
        let gradient = &gradient[row * self.output[1] * channels..][..self.output[1] * channels];
        for k in 0..self.kernel() * self.kernel() {
            let Some(from) = self.input_at(y, k / self.kernel()).filter(|&y| y < self.input[0])
            else {
                continue;
            };
            let from = (image * self.input[0] + from) * self.input[1] * channels;
            let input = &input[from..][..self.input[1] * channels];
            let sums = &mut sums[k * channels..][..channels];
            let reads =
                |x: usize| self.input_at(x, k % self.kernel()).filter(|&x| x < self.input[1]);
            let columns = (0..self.output[1]).filter(|&x| reads(x).is_some());
            let (Some(first), Some(last)) = (columns.clone().min(), columns.max()) else {
                continue;
            };
            let shift = reads(first).unwrap_or(0);
            let stride = self.window.stride as usize;
            for c in (0..channels).step_by(LANES) {
                let lanes = LANES.min(channels - c);
                let mut sum = [0.0f32; LANES];
                sum[..lanes].copy_from_slice(&sums[c..][..lanes]);
                for x in first..=last {
                    let g = &gradient[x * channels + c..][..lanes];
                    let i = &input[(shift + (x - first) * stride) * channels + c..][..lanes];
                    if lanes == LANES {
                        for lane in 0..LANES {
                            sum[lane] += i[lane].get() * g[lane].get();
                        }
                    } else {
                        for lane in 0..lanes {
                            sum[lane] += i[lane].get() * g[lane].get();
                        }
                    }
                }
                sums[c..][..lanes].copy_from_slice(&sum[..lanes]);
            }
        }
    }
}

/// to = Σ over reads (from, tap) of from · tap, by channel.
#[inline(always)]
fn weighted_sum<T: Element>(
    from: &[T],
    taps: &[f32],
    reads: &[(usize, usize)],
    to: &mut [MaybeUninit<T>],
) {
    for (block, to) in to.chunks_mut(LANES).enumerate() {
        let c = block * LANES;
        let mut sum = [0.0f32; LANES];
        if to.len() == LANES {
            for &(from_at, tap_at) in reads {
                let (from, tap) = (&from[from_at + c..][..LANES], &taps[tap_at + c..][..LANES]);
                for lane in 0..LANES {
                    sum[lane] += from[lane].get() * tap[lane];
                }
            }
        } else {
            for &(from_at, tap_at) in reads {
                let (from, tap) = (&from[from_at + c..], &taps[tap_at + c..]);
                for lane in 0..to.len() {
                    sum[lane] += from[lane].get() * tap[lane];
                }
            }
        }
        for (to, sum) in to.iter_mut().zip(sum) {
            to.write(T::of(sum));
        }
    }
}
