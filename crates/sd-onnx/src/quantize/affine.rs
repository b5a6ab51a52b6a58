//! Affine quantisation of values and weights.

use crate::proto::{ElementType, TensorProto};
use crate::{Error, Result};

/// Largest magnitude of 8-bit weights that are multiplied in 8 bits, see [the module](super).
pub(super) const MAX_MULTIPLIED: f32 = 64.0;
/// Largest magnitude of 8-bit weights that are multiplied in `f32`.
pub(super) const MAX_STORED: f32 = 127.0;

/// Range of the values of a feature map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    min: f32,
    max: f32,
}

impl Range {
    /// The range from `min` to `max`, extended to include 0. Padding is 0, so it must be exact.
    pub fn new(min: f32, max: f32) -> Self {
        Self { min: min.min(0.0), max: max.max(0.0) }
    }

    /// The range of the values without the share `outside` of them at either end.
    pub fn of(values: &[f32], outside: f64) -> Self {
        let Some(last) = values.len().checked_sub(1) else { return Self::new(0.0, 0.0) };
        let outside = (last as f64 * outside).round() as usize;
        let mut values = values.to_vec();
        let mut at = |place| *values.select_nth_unstable_by(place, f32::total_cmp).1;
        Self::new(at(outside), at(last - outside))
    }

    /// Minimum and maximum.
    pub fn bounds(self) -> [f32; 2] {
        [self.min, self.max]
    }

    /// The smallest range that includes both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The mean of the bounds; without ranges, 0 alone.
    #[must_use]
    pub fn mean(ranges: &[Self]) -> Self {
        let count = ranges.len().max(1) as f32;
        let min = ranges.iter().map(|range| range.min).sum::<f32>() / count;
        let max = ranges.iter().map(|range| range.max).sum::<f32>() / count;
        Self { min, max }
    }

    /// The smallest range that includes this one and whose zero point is 128.
    pub(super) fn symmetric(self) -> Self {
        let max = self.max.max(-self.min);
        Self { min: -max * 128.0 / 127.0, max }
    }

    /// Difference between neighbouring values among the 256.
    pub(super) fn scale(self) -> f32 {
        let scale = (self.max - self.min) / 255.0;
        if scale > 0.0 && scale.is_finite() { scale } else { 1.0 }
    }

    /// The byte of 0.
    pub(super) fn zero_point(self) -> u8 {
        (-self.min / self.scale()).round().clamp(0.0, 255.0) as u8
    }
}

/// 8-bit weights.
pub(super) struct QuantizedKernel {
    /// `[O, I, H, W]`, i8.
    pub values: TensorProto,
    /// One per output channel.
    pub scales: Vec<f32>,
}

/// Largest magnitude.
pub(super) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Quantises the weights of each output channel to its own scale, which is at least
/// `min_scale(channel)`, with a magnitude of at most `max`.
pub(super) fn quantize_kernel(
    weight: &TensorProto,
    max: f32,
    min_scale: impl Fn(usize) -> f32,
) -> Result<QuantizedKernel> {
    let floats = weight.to_floats()?;
    let channels = weight.dims.first().map_or(0, |&channels| channels as usize);
    if channels == 0 || floats.is_empty() {
        let found = format!("shape {:?}", weight.dims);
        return Err(Error::Tensor { name: weight.name.clone(), found });
    }
    let (mut bytes, mut scales) = (Vec::with_capacity(floats.len()), Vec::new());
    for (channel, values) in floats.chunks_exact(floats.len() / channels).enumerate() {
        let scale = (largest(values) / max).max(min_scale(channel));
        // Weights of 0, or so small that they have no normal scale, are 0.
        let scale = if scale >= f32::MIN_POSITIVE { scale } else { 1.0 };
        bytes.extend(values.iter().map(|value| (value / scale).round() as i8 as u8));
        scales.push(scale);
    }
    let name = format!("{}_int8", weight.name);
    let values = TensorProto::new(&name, &weight.dims, ElementType::Int8, bytes);
    Ok(QuantizedKernel { values, scales })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_zero_exactly() {
        let range = Range::new(-1.0, 1.55);
        assert!((range.scale() - 0.01).abs() < 1e-7);
        assert_eq!(range.zero_point(), 100);
        assert_eq!(Range::new(1.0, 2.0), Range::new(0.0, 2.0));
        for range in [Range::new(0.0, 1.27), Range::new(-1.27, 0.5)] {
            assert_eq!(range.symmetric().zero_point(), 128);
            assert!((range.symmetric().scale() - 0.01).abs() < 1e-7);
        }
        assert_eq!((Range::new(0.0, 0.0).scale(), Range::new(0.0, 0.0).zero_point()), (1.0, 0));
        assert_eq!(Range::new(0.0, 1.0).union(Range::new(-2.0, 0.5)), Range::new(-2.0, 1.0));
    }

    #[test]
    fn a_range_leaves_out_a_share_at_either_end() {
        let mut values: Vec<f32> = (0..20_000).map(|value| value as f32 / 1000.0).collect();
        values[0] = 1e6;
        assert_eq!(Range::of(&values, 0.0), Range::new(0.0, 1e6));
        assert_eq!(Range::of(&values, 1e-4), Range::new(0.0, 19.998));
        assert_eq!(Range::of(&[], 1e-4), Range::new(0.0, 0.0));
        assert_eq!(Range::of(&[-3.0], 1e-4), Range::new(-3.0, 0.0));
    }

    #[test]
    fn each_output_channel_has_its_own_scale() {
        let weight = TensorProto::floats("w", &[3, 2], &[0.5, -1.0, 8.0, 64.0, 0.0, 0.0]);
        let kernel = quantize_kernel(&weight, MAX_MULTIPLIED, |_| 0.0).unwrap();
        assert_eq!(kernel.scales, [1.0 / 64.0, 1.0, 1.0]);
        let values = |kernel: &QuantizedKernel| -> Vec<i8> {
            kernel.values.raw_data.iter().map(|&byte| byte as i8).collect()
        };
        assert_eq!(values(&kernel), [32, -64, 8, 64, 0, 0]);
        let kernel = quantize_kernel(&weight, MAX_MULTIPLIED, |_| 0.5).unwrap();
        assert_eq!(
            (&kernel.scales[..], &values(&kernel)[..2]),
            (&[0.5, 1.0, 0.5][..], &[1, -2][..])
        );
        // The scale of 1e-44 / 64 would be 0.
        let tiny = TensorProto::floats("w", &[1, 1], &[1e-44]);
        let kernel = quantize_kernel(&tiny, MAX_MULTIPLIED, |_| 0.0).unwrap();
        assert_eq!((&kernel.scales[..], values(&kernel)), (&[1.0][..], vec![0]));
    }
}
