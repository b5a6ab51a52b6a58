//! Floats as 8-bit whole numbers.

use crate::proto::{ElementType, TensorProto};
use crate::{Error, Result};

/// The largest magnitude of a weight that is multiplied in bytes, see [the module](super).
pub(super) const MULTIPLIED: f32 = 64.0;
/// The largest magnitude of a weight that is stored in bytes alone.
pub(super) const STORED: f32 = 127.0;

/// The values that a feature map takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    least: f32,
    most: f32,
}

impl Range {
    /// From the least to the most value. The range always holds 0, which is exact then: it is
    /// what maps are padded with.
    pub fn new(least: f32, most: f32) -> Self {
        Self { least: least.min(0.0), most: most.max(0.0) }
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// The mean of ranges; of none, the range of 0 alone.
    #[must_use]
    pub fn mean(ranges: &[Self]) -> Self {
        let count = ranges.len().max(1) as f32;
        let least = ranges.iter().map(|range| range.least).sum::<f32>() / count;
        let most = ranges.iter().map(|range| range.most).sum::<f32>() / count;
        Self { least, most }
    }

    /// The smallest range that holds this one and whose 0 is byte 128.
    pub(super) fn symmetric(self) -> Self {
        let largest = self.most.max(-self.least);
        Self { least: -largest * 128.0 / 127.0, most: largest }
    }

    /// The difference between two neighbours among 256 values.
    pub(super) fn scale(self) -> f32 {
        let scale = (self.most - self.least) / 255.0;
        if scale > 0.0 && scale.is_finite() { scale } else { 1.0 }
    }

    /// The number that stands for 0.
    pub(super) fn zero(self) -> u8 {
        (-self.least / self.scale()).round().clamp(0.0, 255.0) as u8
    }
}

/// A kernel in whole numbers.
pub(super) struct Kernel {
    /// `[O, I, H, W]`, i8.
    pub values: TensorProto,
    /// One for each output channel.
    pub scales: Vec<f32>,
}

/// Each output channel's weights as multiples of its own scale, at most `most` of them.
pub(super) fn kernel(weight: &TensorProto, most: f32) -> Result<Kernel> {
    let floats = weight.to_floats()?;
    let channels = weight.dims.first().map_or(0, |&channels| channels as usize);
    if channels == 0 || floats.is_empty() {
        let found = format!("shape {:?}", weight.dims);
        return Err(Error::Tensor { name: weight.name.clone(), found });
    }
    let (mut bytes, mut scales) = (Vec::with_capacity(floats.len()), Vec::new());
    for channel in floats.chunks_exact(floats.len() / channels) {
        let largest = channel.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest / most } else { 1.0 };
        bytes.extend(channel.iter().map(|value| (value / scale).round() as i8 as u8));
        scales.push(scale);
    }
    let values = TensorProto {
        dims: weight.dims.clone(),
        data_type: ElementType::Int8 as i32,
        name: format!("{}_int8", weight.name),
        raw_data: bytes,
    };
    Ok(Kernel { values, scales })
}

/// One byte.
pub(super) fn byte(name: &str, value: u8) -> TensorProto {
    TensorProto {
        dims: vec![],
        data_type: ElementType::Uint8 as i32,
        name: name.to_owned(),
        raw_data: vec![value],
    }
}

/// A vector of 32-bit whole numbers.
pub(super) fn ints(name: &str, values: &[i32]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: ElementType::Int32 as i32,
        name: name.to_owned(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_zero_exactly() {
        let range = Range::new(-1.0, 1.55);
        assert!((range.scale() - 0.01).abs() < 1e-7);
        assert_eq!(range.zero(), 100);
        assert_eq!(Range::new(1.0, 2.0), Range::new(0.0, 2.0));
        for range in [Range::new(0.0, 1.27), Range::new(-1.27, 0.5)] {
            assert_eq!(range.symmetric().zero(), 128);
            assert!((range.symmetric().scale() - 0.01).abs() < 1e-7);
        }
        assert_eq!((Range::new(0.0, 0.0).scale(), Range::new(0.0, 0.0).zero()), (1.0, 0));
        assert_eq!(Range::new(0.0, 1.0).union(Range::new(-2.0, 0.5)), Range::new(-2.0, 1.0));
    }

    #[test]
    fn each_channel_has_its_scale() {
        let weight =
            TensorProto::floats("w".to_owned(), &[3, 2], &[0.5, -1.0, 8.0, 64.0, 0.0, 0.0]);
        let kernel = kernel(&weight, MULTIPLIED).unwrap();
        assert_eq!(kernel.scales, [1.0 / 64.0, 1.0, 1.0]);
        let values: Vec<i8> = kernel.values.raw_data.iter().map(|&byte| byte as i8).collect();
        assert_eq!(values, [32, -64, 8, 64, 0, 0]);
    }
}
