//! Global average pooling, and channels scaled by a weight per image: the two operations of channel
//! attention. libtorch's backward passes of both write a map in another order than it has in memory.

use std::mem::MaybeUninit;

use tch::{Device, Kind, Tensor};

use super::bridge::{for_each, gradient_as, is_channels_last, record, uninit, values};
use super::element::{Bf16, Element};

/// The mean of each channel over the positions of `map` `[N, C, H, W]`: `[N, C]` in its type.
pub fn global_average(map: &Tensor) -> Tensor {
    match map.kind() {
        _ if !is_channels_last(map) => map.mean_dim([2i64, 3].as_slice(), false, None),
        Kind::BFloat16 => mean_in::<Bf16>(map),
        _ => mean_in::<f32>(map),
    }
}

/// Each channel of each image of `map` `[N, C, H, W]` times its weight of `weights` `[N, C]`.
pub fn scale_channels(map: &Tensor, weights: &Tensor) -> Tensor {
    match map.kind() {
        kind if !is_channels_last(map) || weights.kind() != kind => {
            map * weights.unsqueeze(-1).unsqueeze(-1)
        }
        Kind::BFloat16 => scale_in::<Bf16>(map, weights),
        _ => scale_in::<f32>(map, weights),
    }
}

fn mean_in<T: Element>(map: &Tensor) -> Tensor {
    let images = Images::of(map);
    let share = 1.0 / images.positions as f32;
    let mut output = images.empty(map.kind());
    for_each(
        values::<T>(map).chunks(images.part()).zip(images.parts_of_mut::<T>(&mut output)),
        #[inline(always)]
        |(map, means)| images.means(map, share, means),
    );
    // Only the size, so that the map can be freed before the backward pass.
    let (n, c, h, w) = map.size4().expect("a feature map has four axes");
    let backward = move |gradient: &Tensor| {
        let gradient = gradient.to_kind(T::KIND).contiguous();
        let mut result = Tensor::empty([n, h, w, c], (T::KIND, Device::Cpu)).permute([0, 3, 1, 2]);
        for_each(
            images.parts_of::<T>(&gradient).zip(uninit(&mut result).chunks_mut(images.part())),
            #[inline(always)]
            |(gradient, result)| images.spread(gradient, share, result),
        );
        vec![result]
    };
    record(&mut output, &[map], backward);
    output
}

fn scale_in<T: Element>(map: &Tensor, weights: &Tensor) -> Tensor {
    let images = Images::of(map);
    let saved_weights = weights.detach().contiguous();
    let mut output = images.scaled::<T>(map, &saved_weights);
    let saved = map.shallow_clone();
    let backward = move |gradient: &Tensor| {
        let gradient = gradient_as(saved.kind(), gradient);
        let mut sums = images.empty(saved.kind());
        let pairs = values::<T>(&saved).chunks(images.part());
        let pairs = pairs.zip(values::<T>(&gradient).chunks(images.part()));
        for_each(
            pairs.zip(images.parts_of_mut::<T>(&mut sums)),
            #[inline(always)]
            |((map, gradient), sums)| images.sum_of_products(map, gradient, sums),
        );
        vec![images.scaled::<T>(&gradient, &saved_weights), sums]
    };
    record(&mut output, &[map, weights], backward);
    output
}

/// Sizes of a map, and its division into parts for the threads.
#[derive(Debug, Clone, Copy)]
struct Images {
    images: usize,
    channels: usize,
    positions: usize,
    images_of_part: usize,
}

impl Images {
    fn of(map: &Tensor) -> Self {
        let (images, channels, height, width) = map.size4().expect("a feature map has four axes");
        let images_of_part = (images as usize).div_ceil(tch::get_num_threads() as usize).max(1);
        Self {
            images: images as usize,
            channels: channels as usize,
            positions: (height * width) as usize,
            images_of_part,
        }
    }

    /// Length of a thread's part of the map.
    fn part(&self) -> usize {
        self.images_of_part * self.positions * self.channels
    }

    /// An empty tensor `[N, C]`.
    fn empty(&self, kind: Kind) -> Tensor {
        Tensor::empty([self.images as i64, self.channels as i64], (kind, Device::Cpu))
    }

    /// The threads' parts of a tensor `[N, C]`.
    fn parts_of<'a, T: Element>(&self, tensor: &'a Tensor) -> impl Iterator<Item = &'a [T]> {
        values::<T>(tensor).chunks(self.images_of_part * self.channels)
    }

    fn parts_of_mut<'a, T: Element>(
        &self,
        tensor: &'a mut Tensor,
    ) -> impl Iterator<Item = &'a mut [MaybeUninit<T>]> {
        uninit::<T>(tensor).chunks_mut(self.images_of_part * self.channels)
    }

    /// Length of an image.
    fn image(&self) -> usize {
        self.positions * self.channels
    }

    fn scaled<T: Element>(&self, map: &Tensor, weights: &Tensor) -> Tensor {
        let mut output = map.detach().empty_like();
        let maps = values::<T>(map).chunks(self.part()).zip(self.parts_of::<T>(weights));
        for_each(
            maps.zip(uninit::<T>(&mut output).chunks_mut(self.part())),
            #[inline(always)]
            |((map, weights), output)| self.scale_part(map, weights, output),
        );
        output
    }

    #[inline(always)]
    fn scale_part<T: Element>(&self, map: &[T], weights: &[T], output: &mut [MaybeUninit<T>]) {
        let channels = self.channels;
        let images = map.chunks_exact(self.image()).zip(output.chunks_exact_mut(self.image()));
        for ((map, output), weights) in images.zip(weights.chunks_exact(channels)) {
            let rows = map.chunks_exact(channels);
            for (x, y) in rows.zip(output.chunks_exact_mut(channels)) {
                for c in 0..channels {
                    y[c].write(T::of(x[c].get() * weights[c].get()));
                }
            }
        }
    }

    /// The sum of each channel times `share`.
    #[inline(always)]
    fn means<T: Element>(&self, map: &[T], share: f32, means: &mut [MaybeUninit<T>]) {
        let channels = self.channels;
        let mut sums = vec![0.0; channels];
        let images = map.chunks_exact(self.image());
        for (map, means) in images.zip(means.chunks_exact_mut(channels)) {
            sums.fill(0.0);
            for x in map.chunks_exact(channels) {
                for c in 0..channels {
                    sums[c] += x[c].get();
                }
            }
            for c in 0..channels {
                means[c].write(T::of(sums[c] * share));
            }
        }
    }

    /// Σ x g of each channel.
    #[inline(always)]
    fn sum_of_products<T: Element>(
        &self,
        map: &[T],
        gradient: &[T],
        output: &mut [MaybeUninit<T>],
    ) {
        let channels = self.channels;
        let mut sums = vec![0.0; channels];
        let images = map.chunks_exact(self.image()).zip(gradient.chunks_exact(self.image()));
        for ((map, gradient), output) in images.zip(output.chunks_exact_mut(channels)) {
            sums.fill(0.0);
            let rows = map.chunks_exact(channels).zip(gradient.chunks_exact(channels));
            for (x, g) in rows {
                for c in 0..channels {
                    sums[c] += x[c].get() * g[c].get();
                }
            }
            for c in 0..channels {
                output[c].write(T::of(sums[c]));
            }
        }
    }

    /// Each channel's value of an image, times `share`, at every position.
    #[inline(always)]
    fn spread<T: Element>(&self, values: &[T], share: f32, map: &mut [MaybeUninit<T>]) {
        let channels = self.channels;
        let mut row = vec![T::of(0.0); channels];
        let images = map.chunks_exact_mut(self.image());
        for (map, values) in images.zip(values.chunks_exact(channels)) {
            for c in 0..channels {
                row[c] = T::of(values[c].get() * share);
            }
            for position in map.chunks_exact_mut(channels) {
                position.write_copy_of_slice(&row);
            }
        }
    }
}
