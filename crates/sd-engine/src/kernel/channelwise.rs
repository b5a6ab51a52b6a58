//! Sliding windows over each channel by itself: depthwise convolution and pooling.

#![allow(unsafe_code, reason = "no bounds checks in the innermost loop")]

use super::window::Window;
use crate::buffer_pool::BufferPool;
use crate::simd::{FloatLoop, FloatVector, LANES, dispatch_float, load_partial, store_partial};
use crate::tensor::Tensor;

/// A reduction of a window, for 16 channels at once.
pub trait ChannelwiseKernel {
    /// Parameters of a block of 16 channels.
    type Params<'a>: Copy
    where
        Self: 'a;

    /// Parameters of the channels from `16 · block` on.
    fn params(&self, block: usize) -> Self::Params<'_>;
    /// Initial value of the reduction. Must be inlined.
    fn init(params: Self::Params<'_>) -> [f32; LANES];
    /// Adds the input at a tap of the window. Must be inlined.
    fn accumulate<F: FloatVector>(
        params: Self::Params<'_>,
        sums: F,
        tap: usize,
        input: &[f32; LANES],
    ) -> F;
}

/// Slides `window` over the input, followed by a ReLU if `relu`; `None` if it does not fit.
pub fn run_channelwise(
    window: &Window,
    kernel: &impl ChannelwiseKernel,
    input: &Tensor,
    relu: bool,
    buffers: &BufferPool,
) -> Option<Tensor> {
    let output_size @ [rows, columns] = window.output_size(input.size())?;
    let mut output = Tensor::acquire(buffers, input.images, [rows, columns, input.channels])?;
    let to = &mut output.values[..];
    dispatch_float(Slide { window, kernel, input, output_size, relu, to });
    Some(output)
}

struct Slide<'a, K> {
    window: &'a Window,
    kernel: &'a K,
    input: &'a Tensor,
    output_size: [usize; 2],
    relu: bool,
    to: &'a mut [f32],
}

/// A position of the window.
#[derive(Clone, Copy)]
struct Tap {
    index: usize,
    /// Distance from the window's first position in memory.
    offset: usize,
}

impl<K: ChannelwiseKernel> FloatLoop for Slide<'_, K> {
    #[inline(always)]
    fn run<F: FloatVector>(mut self) {
        let (window, input, [height, width]) = (self.window, self.input, self.output_size);
        let columns = window.kernel[1];
        let tap = |index: usize| {
            let offset = (index / columns * input.width + index % columns) * input.channels;
            Tap { index, offset }
        };
        let all: Vec<Tap> = (0..window.taps()).map(tap).collect();
        let mut partial = Vec::with_capacity(all.len());
        // Output columns whose window lies within the input's columns.
        let is_whole = |x: &usize| window.valid_taps(1, *x, input.width).len() == columns;
        let first_whole = (0..width).find(is_whole).unwrap_or(width);
        let end_whole = (first_whole..width).find(|x| !is_whole(x)).unwrap_or(width);
        let mut to = std::mem::take(&mut self.to);
        for row in 0..input.images * height {
            let y = row % height;
            let rows = window.valid_taps(0, y, input.height);
            let in_rows = &all[rows.start * columns..rows.end * columns];
            // The window may start before the input, but its valid taps do not.
            let top = (row / height * input.height + y * window.stride[0])
                .wrapping_sub(window.pad_before[0])
                .wrapping_mul(input.width);
            let mut x = 0;
            while x < width {
                let left = (x * window.stride[1]).wrapping_sub(window.pad_before[1]);
                let start = top.wrapping_add(left).wrapping_mul(input.channels);
                // Neighbouring outputs share the loads of their parameters.
                let (count, taps) = match (first_whole..end_whole).contains(&x) {
                    true if x + 4 <= end_whole => (4, in_rows),
                    true if x + 2 <= end_whole => (2, in_rows),
                    true => (1, in_rows),
                    false => {
                        let valid = window.valid_taps(1, x, input.width);
                        let is_valid = |tap: &&Tap| valid.contains(&(tap.index % columns));
                        partial.clear();
                        partial.extend(in_rows.iter().filter(is_valid));
                        (1, &partial[..])
                    }
                };
                let outputs = to.split_off_mut(..count * input.channels).unwrap_or_default();
                match count {
                    4 => self.positions::<F, 4>(start, taps, outputs),
                    2 => self.positions::<F, 2>(start, taps, outputs),
                    _ => self.positions::<F, 1>(start, taps, outputs),
                }
                x += count;
            }
        }
    }
}

impl<K: ChannelwiseKernel> Slide<'_, K> {
    /// All channels of `P` output positions; the window of the first one starts at `start`.
    #[inline(always)]
    fn positions<F: FloatVector, const P: usize>(
        &self,
        start: usize,
        taps: &[Tap],
        to: &mut [f32],
    ) {
        let channels = self.input.channels;
        for block in 0..channels / LANES {
            self.block::<F, P>(start, taps, block, LANES, to);
        }
        if !channels.is_multiple_of(LANES) {
            self.block::<F, P>(start, taps, channels / LANES, channels % LANES, to);
        }
    }

    /// A block of `width` channels, at most 16.
    #[inline(always)]
    fn block<F: FloatVector, const P: usize>(
        &self,
        start: usize,
        taps: &[Tap],
        block: usize,
        width: usize,
        to: &mut [f32],
    ) {
        let (channels, values) = (self.input.channels, &self.input.values[..]);
        let (start, step) = (start.wrapping_add(block * LANES), self.window.stride[1] * channels);
        let params = self.kernel.params(block);
        let mut sums = [F::load(&K::init(params)); P];
        let position = |tap: Option<&Tap>| start.wrapping_add(tap.map_or(0, |tap| tap.offset));
        let (first, last) = (position(taps.first()), position(taps.last()));
        let max = values.len().checked_sub((P - 1) * step + width);
        assert!(first <= last && max.is_some_and(|max| last <= max), "taps within the input");
        for tap in taps {
            let position = start.wrapping_add(tap.offset);
            for p in 0..P {
                let from = position + p * step;
                // SAFETY: the offsets of the taps increase, so that each position lies between `first`
                // and `last`; the assertion above keeps the P windows of both within the values.
                let input = load_partial(unsafe { values.get_unchecked(from..from + width) });
                sums[p] = K::accumulate(params, sums[p], tap.index, &input);
            }
        }
        for p in 0..P {
            let sums = if self.relu { sums[p].relu() } else { sums[p] };
            store_partial(sums.store(), &mut to[p * channels + block * LANES..][..width]);
        }
    }
}
