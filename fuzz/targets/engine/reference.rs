//! Operators as naive loops over `f64`, with a bound on what `f32` may differ from them.

use crate::network::{Operation, Window};

/// Relative error of a sum of products of floats, generously.
const EPSILON: f64 = 1e-5;

/// A value: a feature map `[N, C, H, W]` or vectors `[N, C]`.
#[derive(Clone)]
pub struct Map {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
    /// Largest difference that the engine's values may have.
    pub error: f64,
}

impl Map {
    pub fn new(shape: Vec<usize>, values: Vec<f64>) -> Self {
        Self { shape, values, error: 0.0 }
    }

    /// The index in `[N, C, H, W]` of a value in `[N, H, W, C]`.
    pub fn channels_first(&self, index: usize) -> usize {
        let [_, channels, height, width] = self.sides();
        let (position, channel) = (index / channels, index % channels);
        let (image, position) = (position / (height * width), position % (height * width));
        (image * channels + channel) * height * width + position
    }

    /// Vectors have one position.
    fn sides(&self) -> [usize; 4] {
        std::array::from_fn(|axis| self.shape.get(axis).copied().unwrap_or(1))
    }

    /// A value, its axes of size 1 repeated.
    fn at(&self, [image, channel, y, x]: [usize; 4]) -> f64 {
        let [_, channels, height, width] = self.sides();
        let (channel, y, x) = (channel.min(channels - 1), y.min(height - 1), x.min(width - 1));
        self.values[((image * channels + channel) * height + y) * width + x]
    }

    fn max(&self) -> f64 {
        self.values.iter().fold(0.0, |max: f64, value| max.max(value.abs()))
    }

    fn is_map(&self) -> bool {
        self.shape.len() == 4
    }
}

/// Calls `value` with each place of a shape.
fn each(sides: [usize; 4], mut value: impl FnMut([usize; 4]) -> f64) -> Vec<f64> {
    let mut values = Vec::new();
    for image in 0..sides[0] {
        for channel in 0..sides[1] {
            for y in 0..sides[2] {
                for x in 0..sides[3] {
                    values.push(value([image, channel, y, x]));
                }
            }
        }
    }
    values
}

impl Operation {
    /// `None` if the inputs do not fit.
    pub fn run(&self, inputs: &[&Map]) -> Option<Map> {
        let first = inputs[0];
        Some(match self {
            Self::Convolution { window, outputs, groups, weights, bias } => {
                slide(first, window, *outputs, *groups, weights, bias)?
            }
            Self::Int8Convolution {
                window,
                outputs,
                scale,
                zero_point,
                weights,
                factor,
                offset,
            } => {
                let zero = f64::from(*zero_point);
                let quantized = |&value: &f64| {
                    let steps = (value as f32 / scale).round_ties_even();
                    (f64::from(steps) + zero).clamp(0.0, 255.0) - zero
                };
                let values = first.values.iter().map(quantized).collect();
                // What is not exact may be rounded to a neighbour.
                let inexact = first.error > 0.0;
                let error = if inexact { 1.0 + first.error / f64::from(*scale) } else { 0.0 };
                let quantized = Map { shape: first.shape.clone(), values, error };
                let none = vec![0.0; *outputs];
                let mut sums = slide(&quantized, window, *outputs, 1, weights, &none)?;
                let [_, channels, height, width] = sums.sides();
                for (index, sum) in sums.values.iter_mut().enumerate() {
                    let channel = index / (height * width) % channels;
                    *sum = *sum * f64::from(factor[channel]) + f64::from(offset[channel]);
                }
                let largest = factor.iter().fold(0.0, |max: f32, factor| max.max(factor.abs()));
                sums.error = sums.error * f64::from(largest) + EPSILON * (1.0 + sums.max());
                sums
            }
            Self::MaxPool(window) => pool(first, window, |values, _| {
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            })?,
            Self::AveragePool(window) => {
                pool(first, window, |values, taps| values.iter().sum::<f64>() / taps as f64)?
            }
            Self::GlobalAverage => {
                let [images, channels, height, width] = first.sides();
                let values = first.values.chunks(height * width);
                let means = values.map(|values| values.iter().sum::<f64>() / values.len() as f64);
                let error = first.error + EPSILON * (1.0 + first.max());
                let shape = vec![images, channels, 1, 1];
                return first.is_map().then(|| Map { shape, values: means.collect(), error });
            }
            Self::Relu => element_wise(first, 1.0, |value| value.max(0.0)),
            Self::Sigmoid => element_wise(first, 0.25, |value| 1.0 / (1.0 + (-value).exp())),
            Self::Add => broadcast(first, inputs[1], false)?,
            Self::Multiply => broadcast(first, inputs[1], true)?,
            Self::Mean => {
                let mut sum = first.clone();
                for other in &inputs[1..] {
                    sum = broadcast(&sum, other, false).filter(|sum| sum.shape == first.shape)?;
                }
                let count = inputs.len() as f64;
                element_wise(&sum, 1.0 / count, |value| value / count)
            }
            Self::Transpose => {
                let [images, channels, height, width] = first.sides();
                let values = each([images, height, channels, width], |[image, y, channel, x]| {
                    first.at([image, channel, y, x])
                });
                let shape = vec![images, height, channels, width];
                return first.is_map().then(|| Map { shape, values, error: first.error });
            }
            Self::Flatten => {
                let shape = vec![first.shape[0], first.shape[1..].iter().product()];
                Map { shape, ..first.clone() }
            }
            Self::Linear { outputs, weights, bias } => {
                if first.is_map() {
                    return None;
                }
                let [images, depth, ..] = first.sides();
                let map = Map { shape: vec![images, depth, 1, 1], ..first.clone() };
                let window = Window { kernel: [1, 1], strides: [1, 1], pads: [0; 4] };
                let product = slide(&map, &window, *outputs, 1, weights, bias)?;
                Map { shape: vec![images, *outputs], ..product }
            }
        })
    }
}

fn element_wise(input: &Map, slope: f64, function: impl Fn(f64) -> f64) -> Map {
    let values: Vec<f64> = input.values.iter().map(|&value| function(value)).collect();
    let map = Map { shape: input.shape.clone(), values, error: 0.0 };
    Map { error: input.error * slope + EPSILON * (1.0 + map.max()), ..map }
}

/// A sum or product, where one input is repeated to the shape of the other.
fn broadcast(a: &Map, b: &Map, is_product: bool) -> Option<Map> {
    let covers = |a: &Map, b: &Map| {
        let mut sides = a.shape.iter().zip(&b.shape);
        a.shape.len() == b.shape.len()
            && a.shape[0] == b.shape[0]
            && sides.all(|(a, b)| a == b || *b == 1)
    };
    let larger = if covers(a, b) { a } else { Some(b).filter(|b| covers(b, a))? };
    let values = each(larger.sides(), |place| match is_product {
        true => a.at(place) * b.at(place),
        false => a.at(place) + b.at(place),
    });
    let error = match is_product {
        true => a.error * b.max() + b.error * a.max() + a.error * b.error,
        false => a.error + b.error,
    };
    let map = Map { shape: larger.shape.clone(), values, error: 0.0 };
    Some(Map { error: error + EPSILON * (1.0 + map.max()), ..map })
}

/// What a window covers at a place of the output: taps, and positions of the input.
type Covered = Vec<(usize, usize)>;

/// Computes a map with this number of channels. `value` receives an image, a channel, and what the
/// window covers of the input without the padding.
fn windows(
    input: &Map,
    window: &Window,
    channels: usize,
    mut value: impl FnMut(usize, usize, &Covered) -> f64,
) -> Option<Map> {
    let [images, _, height, width] = input.sides();
    let Window { kernel, strides, pads } = *window;
    let along = |axis: usize, size: usize| {
        Some((size + pads[axis] + pads[axis + 2]).checked_sub(kernel[axis])? / strides[axis] + 1)
    };
    let [rows, columns] = [along(0, height)?, along(1, width)?];
    if !input.is_map() {
        return None;
    }
    let mut values = vec![0.0; images * channels * rows * columns];
    let mut covered = Covered::new();
    for place in 0..rows * columns {
        covered.clear();
        for tap in 0..kernel[0] * kernel[1] {
            let y = (place / columns * strides[0] + tap / kernel[1]).checked_sub(pads[0]);
            let x = (place % columns * strides[1] + tap % kernel[1]).checked_sub(pads[1]);
            if let (Some(y), Some(x)) = (y.filter(|&y| y < height), x.filter(|&x| x < width)) {
                covered.push((tap, y * width + x));
            }
        }
        for (map, values) in values.chunks_exact_mut(rows * columns).enumerate() {
            values[place] = value(map / channels, map % channels, &covered);
        }
    }
    Some(Map::new(vec![images, channels, rows, columns], values))
}

fn slide(
    input: &Map,
    window: &Window,
    outputs: usize,
    groups: usize,
    weights: &[f32],
    bias: &[f32],
) -> Option<Map> {
    let taps = window.kernel[0] * window.kernel[1];
    let depth = weights.len() / taps / outputs;
    let [_, channels, height, width] = input.sides();
    if channels != depth * groups {
        return None;
    }
    // The largest sum of magnitudes bounds the rounding of any order of the sum.
    let mut largest: f64 = 0.0;
    let map = windows(input, window, outputs, |image, output, covered| {
        let (mut sum, mut magnitude) = (f64::from(bias[output]), f64::from(bias[output]).abs());
        let first = image * channels + output / (outputs / groups) * depth;
        let weights = weights[output * depth * taps..].chunks_exact(taps).take(depth);
        let planes = input.values[first * height * width..].chunks_exact(height * width);
        for (weights, plane) in weights.zip(planes) {
            for &(tap, position) in covered {
                let product = f64::from(weights[tap]) * plane[position];
                sum += product;
                magnitude += product.abs();
            }
        }
        largest = largest.max(magnitude);
        sum
    })?;
    let gain = weights.chunks(depth * taps).map(|weights| weights.iter().map(|w| w.abs()).sum());
    let gain = f64::from(gain.fold(0.0, |max: f32, sum: f32| max.max(sum)));
    // Tiles of the fast algorithm mix neighbours, also larger ones.
    let neighbours = gain * input.max();
    Some(Map { error: input.error * gain + EPSILON * (largest + 4.0 * neighbours), ..map })
}

fn pool(input: &Map, window: &Window, reduce: impl Fn(&[f64], usize) -> f64) -> Option<Map> {
    let taps = window.kernel[0] * window.kernel[1];
    let [_, channels, height, width] = input.sides();
    let mut values = Vec::new();
    let map = windows(input, window, channels, |image, channel, covered| {
        let plane = &input.values[(image * channels + channel) * height * width..];
        values.clear();
        values.extend(covered.iter().map(|&(_, position)| plane[position]));
        reduce(&values, taps)
    })?;
    Some(Map { error: input.error + EPSILON * (1.0 + map.max()), ..map })
}
