//! What slides a window over maps: convolutions and pools.

use super::maps::Maps;
use super::product::{Packed, Rows, rectify};

/// Rows of windows that are laid out at once: they stay in the processor's cache.
const BLOCK: usize = 48;
/// Sides of a window at most: a file that asks for more is refused.
const LARGEST: usize = 64;

/// A window that slides over maps: `[rows, columns]` each.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Places outside, before the first row and column.
    pub before: [usize; 2],
    /// Places outside, behind the last row and column.
    pub after: [usize; 2],
}

impl Window {
    /// Whether a network may have it.
    pub fn is_sound(&self) -> bool {
        (0..2).all(|axis| {
            (1..=LARGEST).contains(&self.kernel[axis])
                && (1..=LARGEST).contains(&self.stride[axis])
                && self.before[axis].max(self.after[axis]) < self.kernel[axis]
        })
    }

    /// Whether it is one position that goes over all.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1; 2] && self.stride == [1; 2]
    }

    /// The output's rows and columns; none where the window is larger than the map.
    fn output(&self, maps: &Maps) -> Option<[usize; 2]> {
        let side = |axis: usize, side: usize| {
            let whole = side + self.before[axis] + self.after[axis];
            Some(whole.checked_sub(self.kernel[axis])? / self.stride[axis] + 1)
        };
        Some([side(0, maps.height)?, side(1, maps.width)?])
    }

    /// The places of the window at this output place along an axis that lie on the map, of `side`
    /// places, and where the first of them lies.
    fn on_map(&self, axis: usize, place: usize, side: usize) -> (std::ops::Range<usize>, usize) {
        let start = place * self.stride[axis];
        let first = self.before[axis].saturating_sub(start);
        let end = (side + self.before[axis]).saturating_sub(start).min(self.kernel[axis]);
        (first..end.max(first), start + first - self.before[axis])
    }
}

/// A convolution with biases.
#[derive(Debug)]
pub struct Convolution {
    window: Window,
    inputs: usize,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    /// Each channel by itself: a weight for each place of the window and channel, and biases.
    Depthwise { taps: Vec<f32>, bias: Vec<f32> },
    /// Of each group of channels.
    Groups(Vec<Packed>),
}

impl Convolution {
    /// Of weights `[outputs, inputs / groups, rows, columns]`; none where the numbers do not fit.
    pub fn new(
        window: Window,
        groups: usize,
        weights: &[f32],
        sides: [usize; 2],
        bias: &[f32],
    ) -> Option<Self> {
        let ([outputs, each], taps) = (sides, window.kernel[0] * window.kernel[1]);
        let fits = groups > 0
            && outputs > 0
            && each > 0
            && outputs % groups == 0
            && bias.len() == outputs
            && outputs.checked_mul(each)?.checked_mul(taps)? == weights.len();
        if !fits || !window.is_sound() {
            return None;
        }
        let weight = |output: usize, channel: usize, tap: usize| {
            weights[(output * each + channel) * taps + tap]
        };
        let weights = if each == 1 && groups == outputs && groups > 1 {
            let taps = (0..taps).flat_map(|tap| (0..outputs).map(move |c| weight(c, 0, tap)));
            Weights::Depthwise { taps: taps.collect(), bias: bias.to_vec() }
        } else {
            let share = outputs / groups;
            let packed = |group: usize| {
                let first = group * share;
                // A window is laid out place by place, each with its channels.
                let fill = |output: usize, row: &mut [f32]| {
                    for (tap, row) in row.chunks_exact_mut(each).enumerate() {
                        for (channel, number) in row.iter_mut().enumerate() {
                            *number = weight(first + output, channel, tap);
                        }
                    }
                };
                Packed::new(&bias[first..][..share], taps * each, fill)
            };
            Weights::Groups((0..groups).map(packed).collect())
        };
        Some(Self { window, inputs: each.checked_mul(groups)?, weights })
    }

    /// Numbers of its weights, as they are packed.
    pub fn numbers(&self) -> usize {
        match &self.weights {
            Weights::Depthwise { taps, .. } => taps.len(),
            Weights::Groups(groups) => groups.iter().map(Packed::numbers).sum(),
        }
    }

    /// The convolution, nothing below zero if `rectified`; none where the maps do not fit.
    pub fn run(&self, maps: &Maps, rectified: bool) -> Option<Maps> {
        let [height, width] = self.window.output(maps).filter(|_| maps.channels == self.inputs)?;
        let channels = match &self.weights {
            Weights::Depthwise { bias, .. } => bias.len(),
            Weights::Groups(groups) => groups.iter().map(Packed::outputs).sum(),
        };
        let mut output = Maps::zeros(maps.images, [height, width, channels])?;
        match &self.weights {
            Weights::Depthwise { taps, bias } => {
                vectorised(
                    #[inline(always)]
                    || self.depthwise(maps, taps, bias, rectified, &mut output),
                );
            }
            Weights::Groups(groups) => {
                let (mut from, mut to) = (0, 0);
                for packed in groups {
                    self.group(maps, packed, [from, to], rectified, &mut output);
                    from += self.inputs / groups.len();
                    to += packed.outputs();
                }
            }
        }
        Some(output)
    }

    /// One group of channels, whose first ones are `from` and `to`.
    fn group(
        &self,
        maps: &Maps,
        packed: &Packed,
        [from, to]: [usize; 2],
        rectified: bool,
        output: &mut Maps,
    ) {
        let stride = output.channels;
        let count = output.images * output.height * output.width;
        if self.window.is_pointwise() {
            let rows = Rows { values: &maps.values[from..], stride: maps.channels, count };
            return packed.multiply(rows, rectified, &mut output.values[to..], stride);
        }
        let depth = packed.depth();
        let mut windows = vec![0.0; BLOCK.min(count) * depth];
        for first in (0..count).step_by(BLOCK) {
            let rows = BLOCK.min(count - first);
            for (row, window) in windows.chunks_exact_mut(depth).take(rows).enumerate() {
                self.lay_out(maps, output, first + row, from, window);
            }
            let rows = Rows { values: &windows, stride: depth, count: rows };
            packed.multiply(rows, rectified, &mut output.values[first * stride + to..], stride);
        }
    }

    /// What the window sees at an output position, of the channels from `from` on: zeros where it
    /// lies outside the map.
    fn lay_out(&self, maps: &Maps, output: &Maps, row: usize, from: usize, window: &mut [f32]) {
        let [_, columns] = self.window.kernel;
        let each = window.len() / (self.window.kernel[0] * columns);
        let (image, place) =
            (row / (output.height * output.width), row % (output.height * output.width));
        let (ys, top) = self.window.on_map(0, place / output.width, maps.height);
        let (xs, left) = self.window.on_map(1, place % output.width, maps.width);
        window.fill(0.0);
        for (line, y) in ys.enumerate() {
            let at = (image * maps.height + top + line) * maps.width + left;
            let to = &mut window[(y * columns + xs.start) * each..][..xs.len() * each];
            if each == maps.channels {
                to.copy_from_slice(&maps.values[at * each..][..xs.len() * each]);
            } else {
                for (x, to) in to.chunks_exact_mut(each).enumerate() {
                    let from = (at + x) * maps.channels + from;
                    to.copy_from_slice(&maps.values[from..][..each]);
                }
            }
        }
    }

    #[inline(always)]
    fn depthwise(
        &self,
        maps: &Maps,
        taps: &[f32],
        bias: &[f32],
        rectified: bool,
        output: &mut Maps,
    ) {
        let channels = bias.len();
        let [height, width] = [output.height, output.width];
        for (row, sums) in output.values.chunks_exact_mut(channels).enumerate() {
            let (image, place) = (row / (height * width), row % (height * width));
            let (ys, top) = self.window.on_map(0, place / width, maps.height);
            let (xs, left) = self.window.on_map(1, place % width, maps.width);
            sums.copy_from_slice(bias);
            for (line, y) in ys.enumerate() {
                for (column, x) in xs.clone().enumerate() {
                    let at = (image * maps.height + top + line) * maps.width + left + column;
                    let seen = &maps.values[at * channels..][..channels];
                    let tap = y * self.window.kernel[1] + x;
                    let weights = &taps[tap * channels..][..channels];
                    for c in 0..channels {
                        sums[c] += seen[c] * weights[c];
                    }
                }
            }
            if rectified {
                sums.iter_mut().for_each(rectify);
            }
        }
    }
}

/// What a pool makes of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pool {
    /// The largest number on the map.
    Max,
    /// The mean, places outside the map counted as zeros.
    Mean,
}

impl Pool {
    /// The pool of each channel; none where the maps do not fit.
    pub fn run(self, window: &Window, maps: &Maps) -> Option<Maps> {
        let [height, width] = window.output(maps)?;
        let channels = maps.channels;
        let mut output = Maps::zeros(maps.images, [height, width, channels])?;
        vectorised(
            #[inline(always)]
            || self.fill(window, maps, &mut output),
        );
        Some(output)
    }

    #[inline(always)]
    fn fill(self, window: &Window, maps: &Maps, output: &mut Maps) {
        let (channels, height, width) = (maps.channels, output.height, output.width);
        let share = 1.0 / (window.kernel[0] * window.kernel[1]) as f32;
        for (row, all) in output.values.chunks_exact_mut(channels.max(1)).enumerate() {
            let (image, place) = (row / (height * width), row % (height * width));
            let (ys, top) = window.on_map(0, place / width, maps.height);
            let (xs, left) = window.on_map(1, place % width, maps.width);
            if self == Self::Max {
                all.fill(f32::NEG_INFINITY);
            }
            for line in 0..ys.len() {
                for column in 0..xs.len() {
                    let at = (image * maps.height + top + line) * maps.width + left + column;
                    let seen = &maps.values[at * channels..][..channels];
                    for c in 0..channels {
                        match self {
                            Self::Max => all[c] = if seen[c] > all[c] { seen[c] } else { all[c] },
                            Self::Mean => all[c] += seen[c] * share,
                        }
                    }
                }
            }
        }
    }
}

/// Runs `work`, which has to be inlined here, compiled for the widest vectors of this processor.
#[inline(always)]
#[allow(unsafe_code, reason = "the processor's vectors")]
fn vectorised(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl")]
        fn with_avx512(work: impl FnOnce()) {
            work();
        }
        #[target_feature(enable = "avx2")]
        fn with_avx2(work: impl FnOnce()) {
            work();
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has them.
            return unsafe { with_avx512(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it.
            return unsafe { with_avx2(work) };
        }
    }
    work();
}

#[cfg(test)]
mod tests;
