//! A dense convolution as the product of two matrices (im2col): the windows of the outputs, and the
//! weights.
//!
//! libtorch's convolution reorders the weights at each step and back, which dominates on a small map:
//! with 512 channels on 2×2 in `bf16` it takes seven times as long.

use tch::{Kind, Tensor};

use super::bridge::{for_each, gradient_as, is_channels_last, record, uninit, values};
use super::element::{Bf16, Element};
use super::geometry::Geometry;
use crate::shape::Window;

/// The convolution of `map` `[N, C, H, W]`, channels-last, with `weight` `[D, C, K, K]`:
/// `[N, D, H', W']`, channels-last. The windows take K² times the memory of the output's positions.
pub fn im2col_convolution(map: &Tensor, weight: &Tensor, window: Window) -> Tensor {
    match map.kind() {
        Kind::BFloat16 => im2col_in::<Bf16>(map, weight, window),
        _ => im2col_in::<f32>(map, weight, window),
    }
}

fn im2col_in<T: Element>(map: &Tensor, weight: &Tensor, window: Window) -> Tensor {
    let geometry = Geometry::of(map, window);
    let (outputs, channels, kernel, _) = weight.size4().expect("a weight has four axes");
    let matrix = matrix_of::<T>(weight);
    let [height, width] = geometry.output.map(|side| side as i64);
    let rows = tch::no_grad(|| geometry.im2col::<T>(map).matmul(&matrix.tr()));
    let mut output = rows.view([-1, height, width, outputs]).permute([0, 3, 1, 2]);

    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        let gradient = gradient.permute([0, 2, 3, 1]).reshape([-1, outputs]);
        let weight = gradient.tr().matmul(&geometry.im2col::<T>(&saved));
        let windows = gradient.matmul(&matrix);
        vec![
            geometry.col2im::<T>(&windows),
            weight_of::<T>(&weight, [outputs, channels, kernel, kernel]),
        ]
    };
    record(&mut output, &[map, weight], backward);
    output
}

/// The weights `[D, C, K, K]` as `[D, K · K · C]`, in the order of a window, without a copy if they are
/// channels-last.
fn matrix_of<T: Element>(weight: &Tensor) -> Tensor {
    let (outputs, channels, kernel, _) = weight.size4().expect("a weight has four axes");
    if weight.kind() == T::KIND && is_channels_last(weight) {
        return weight.permute([0, 2, 3, 1]).reshape([outputs, -1]);
    }
    let size = (channels * kernel * kernel) as usize;
    let mut matrix = Tensor::empty([outputs, size as i64], (T::KIND, weight.device()));
    let rows = values::<f32>(weight).chunks(size);
    for_each(
        rows.zip(uninit::<T>(&mut matrix).chunks_mut(size)),
        #[inline(always)]
        |(weight, row)| {
            let taps = (kernel * kernel) as usize;
            for (k, row) in row.chunks_exact_mut(channels as usize).enumerate() {
                for (c, number) in row.iter_mut().enumerate() {
                    number.write(T::of(weight[c * taps + k]));
                }
            }
        },
    );
    matrix
}

/// The inverse of [`matrix_of`], for a gradient.
fn weight_of<T: Element>(matrix: &Tensor, size: [i64; 4]) -> Tensor {
    let [_, channels, kernel, _] = size.map(|side| side as usize);
    let mut weight = Tensor::empty(size, (Kind::Float, matrix.device()));
    let row = channels * kernel * kernel;
    for_each(
        values::<T>(matrix).chunks(row).zip(uninit::<f32>(&mut weight).chunks_mut(row)),
        #[inline(always)]
        |(row, weight)| {
            let taps = kernel * kernel;
            for (k, row) in row.chunks_exact(channels).enumerate() {
                for (c, number) in row.iter().enumerate() {
                    weight[c * taps + k].write(number.get());
                }
            }
        },
    );
    weight
}

impl Geometry {
    /// The input of each output position: `[N · H' · W', K · K · C]`, with zeros for the padding.
    fn im2col<T: Element>(&self, map: &Tensor) -> Tensor {
        let (kernel, channels) = (self.kernel(), self.channels);
        let positions = self.images * self.output[0] * self.output[1];
        let row = kernel * kernel * channels;
        let mut windows = Tensor::empty([positions as i64, row as i64], (T::KIND, map.device()));
        let (from, padding) = (values::<T>(map), vec![T::of(0.0); channels]);
        for_each(
            uninit::<T>(&mut windows).chunks_mut(row * self.output[1]).enumerate(),
            #[inline(always)]
            |(line, windows)| {
                let (image, y) = (line / self.output[0], line % self.output[0]);
                for (x, window) in windows.chunks_exact_mut(row).enumerate() {
                    for (k, tap) in window.chunks_exact_mut(channels).enumerate() {
                        let values = match self.input_of([y, x], k) {
                            Some(position) => {
                                let at = image * self.input[0] * self.input[1] + position;
                                &from[at * channels..][..channels]
                            }
                            None => &padding,
                        };
                        tap.write_copy_of_slice(values);
                    }
                }
            },
        );
        windows
    }

    /// The sum of the windows' values of each input position: `[N, C, H, W]`, channels-last.
    fn col2im<T: Element>(&self, windows: &Tensor) -> Tensor {
        let (kernel, channels) = (self.kernel(), self.channels);
        let mut map = self.empty(self.input, channels, T::KIND);
        let windows = values::<T>(windows);
        for_each(
            uninit::<T>(&mut map).chunks_mut(channels * self.input[1]).enumerate(),
            #[inline(always)]
            |(line, map)| {
                let (image, y) = (line / self.input[0], line % self.input[0]);
                let mut sums = vec![0.0; channels];
                for (x, position) in map.chunks_exact_mut(channels).enumerate() {
                    sums.fill(0.0);
                    for k in 0..kernel * kernel {
                        let Some(position) = self.output_of([y, x], k) else { continue };
                        let at = image * self.output[0] * self.output[1] + position;
                        let tap = &windows[(at * kernel * kernel + k) * channels..][..channels];
                        for c in 0..channels {
                            sums[c] += tap[c].get();
                        }
                    }
                    for c in 0..channels {
                        position[c].write(T::of(sums[c]));
                    }
                }
            },
        );
        map
    }
}
