//! Depthwise convolution, forward and backward.
//!
//! libtorch has fast CPU loops for some sizes only: without AVX-512, the weights' gradient on a 2×2 map
//! takes a hundred times as long as its multiplications.

use std::mem::MaybeUninit;
use std::ops::RangeInclusive;

use tch::{Kind, Tensor};

use super::bridge::{for_each, gradient_as, record, uninit, values};
use super::element::{Bf16, Element};
use super::geometry::Geometry;
use crate::shape::Window;

/// Channels processed at once: their sums fit into vector registers.
const LANES: usize = 32;

/// Channels processed at once of those that are left.
const FEW: usize = 8;

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
    let inputs = |at, k| geometry.input_at(at, k);
    geometry.gather(values::<T>(map), &taps, uninit::<T>(&mut output), geometry.output, inputs);
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        let gradient = values::<T>(&gradient);
        let mut input = saved.detach().empty_like();
        let outputs = |at, k| geometry.output_at(at, k);
        geometry.gather(gradient, &taps, uninit::<T>(&mut input), geometry.input, outputs);
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

    /// Each position of the map `to`, of this size, as the weighted sum of the positions of `from` whose
    /// coordinates `source` returns for its own coordinate and a tap, along each axis.
    fn gather<T: Element>(
        &self,
        from: &[T],
        taps: &[f32],
        to: &mut [MaybeUninit<T>],
        size: [usize; 2],
        source: impl Fn(usize, usize) -> Option<usize>,
    ) {
        let from_size = if size == self.output { self.input } else { self.output };
        let [ys, xs] = [0, 1].map(|axis| {
            let of_tap = |at, k| Some((source(at, k).filter(|&at| at < from_size[axis])?, k));
            let sources = |at| (0..self.kernel()).filter_map(|k| of_tap(at, k)).collect();
            (0..size[axis]).map(sources).collect::<Vec<Vec<(usize, usize)>>>()
        });
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
                    for (xs, to) in xs.iter().zip(to.chunks_exact_mut(self.channels)) {
                        reads.clear();
                        for (y, ky) in &ys[y] {
                            let (start, k) =
                                ((image * from_size[0] + y) * from_size[1], ky * self.kernel());
                            for (x, kx) in xs {
                                reads.push(((start + x) * self.channels, (k + kx) * self.channels));
                            }
                        }
                        weighted_sums(from, taps, &reads, to);
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
        let columns: Vec<Option<Columns>> =
            (0..self.kernel()).map(|k| Columns::of(self, k)).collect();
        let mut sums = vec![vec![0.0f64; size]; starts.len()];
        for_each(
            starts.into_iter().zip(&mut sums),
            #[inline(always)]
            |(start, total)| {
                let mut block = vec![0.0f32; size];
                for row in start..rows.min(start + part) {
                    self.add_row(row, &columns, input, gradient, &mut block);
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

    /// Adds a row of the output's gradient to the gradient of the taps, `[K · K, C]`. `columns` has those
    /// of each tap along the row.
    #[inline(always)]
    fn add_row<T: Element>(
        &self,
        row: usize,
        columns: &[Option<Columns>],
        input: &[T],
        gradient: &[T],
        sums: &mut [f32],
    ) {
        let (image, y, channels) = (row / self.output[0], row % self.output[0], self.channels);
        let gradient = &gradient[row * self.output[1] * channels..][..self.output[1] * channels];
        for (k, sums) in sums.chunks_exact_mut(channels).enumerate() {
            let from = self.input_at(y, k / self.kernel()).filter(|&y| y < self.input[0]);
            let (Some(from), Some(columns)) = (from, &columns[k % self.kernel()]) else { continue };
            let from = (image * self.input[0] + from) * self.input[1] * channels;
            let input = &input[from..][..self.input[1] * channels];
            let (blocks, rest) = sums.as_chunks_mut::<LANES>();
            let (few, single) = rest.as_chunks_mut::<FEW>();
            let mut c = 0;
            for sums in blocks {
                c = columns.add(input, gradient, channels, c, sums);
            }
            for sums in few {
                c = columns.add(input, gradient, channels, c, sums);
            }
            for sum in single {
                c = columns.add(input, gradient, channels, c, std::array::from_mut(sum));
            }
        }
    }
}

/// The columns of the output that read the input, and not the padding, through a tap.
struct Columns {
    outputs: RangeInclusive<usize>,
    /// Column that the first of them reads.
    input: usize,
    stride: usize,
}

impl Columns {
    /// Those of tap k along the row, if there are some.
    fn of(geometry: &Geometry, k: usize) -> Option<Self> {
        let reads = |x: usize| geometry.input_at(x, k).filter(|&x| x < geometry.input[1]);
        let mut outputs = (0..geometry.output[1]).filter(|&x| reads(x).is_some());
        let first = outputs.next()?;
        Some(Self {
            outputs: first..=outputs.next_back().unwrap_or(first),
            input: reads(first)?,
            stride: geometry.window.stride as usize,
        })
    }

    /// Adds input · gradient over the columns of a row, of L channels from `c`. Returns the next channel.
    #[inline(always)]
    fn add<T: Element, const L: usize>(
        &self,
        input: &[T],
        gradient: &[T],
        channels: usize,
        c: usize,
        sums: &mut [f32; L],
    ) -> usize {
        let mut sum = *sums;
        for (index, x) in self.outputs.clone().enumerate() {
            let g = &gradient[x * channels + c..][..L];
            let i = &input[(self.input + index * self.stride) * channels + c..][..L];
            for lane in 0..L {
                sum[lane] += i[lane].get() * g[lane].get();
            }
        }
        *sums = sum;
        c + L
    }
}

/// to = Σ over reads (from, tap) of from · tap, by channel.
#[inline(always)]
fn weighted_sums<T: Element>(
    from: &[T],
    taps: &[f32],
    reads: &[(usize, usize)],
    to: &mut [MaybeUninit<T>],
) {
    let (blocks, rest) = to.as_chunks_mut::<LANES>();
    let (few, single) = rest.as_chunks_mut::<FEW>();
    let mut c = 0;
    for to in blocks {
        c = weighted_sum(from, taps, reads, c, to);
    }
    for to in few {
        c = weighted_sum(from, taps, reads, c, to);
    }
    for to in single {
        c = weighted_sum(from, taps, reads, c, std::array::from_mut(to));
    }
}

/// [`weighted_sums`] of L channels from `c`. Returns the next channel.
#[inline(always)]
fn weighted_sum<T: Element, const L: usize>(
    from: &[T],
    taps: &[f32],
    reads: &[(usize, usize)],
    c: usize,
    to: &mut [MaybeUninit<T>; L],
) -> usize {
    let mut sum = [0.0f32; L];
    for &(from_at, tap_at) in reads {
        let (from, tap) = (&from[from_at + c..][..L], &taps[tap_at + c..][..L]);
        for lane in 0..L {
            sum[lane] += from[lane].get() * tap[lane];
        }
    }
    for (to, sum) in to.iter_mut().zip(sum) {
        to.write(T::of(sum));
    }
    c + L
}
