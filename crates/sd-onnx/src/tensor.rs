//! Encoding and decoding of tensors.

use crate::proto::{ElementType, TensorProto};
use crate::{Error, Result};

impl TensorProto {
    /// A tensor of the bytes of its elements.
    pub fn new(name: &str, dims: &[i64], element: ElementType, raw_data: Vec<u8>) -> Self {
        Self { dims: dims.to_vec(), data_type: element as i32, name: name.to_owned(), raw_data }
    }

    /// An `f32` tensor.
    ///
    /// # Panics
    /// If `values` does not fill `dims`.
    pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Self {
        assert_eq!(dims.iter().product::<i64>(), values.len() as i64, "{name} of shape {dims:?}");
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name, dims, ElementType::Float, raw_data)
    }

    /// An `i64` vector.
    pub fn longs(name: &str, values: &[i64]) -> Self {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name, &[values.len() as i64], ElementType::Int64, raw_data)
    }

    /// Decodes an `f32` tensor.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it has another type, or its size contradicts its shape.
    pub fn to_floats(&self) -> Result<Vec<f32>> {
        let (floats, _) = self.elements(ElementType::Float, 4)?.as_chunks();
        Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// The bytes of an 8-bit tensor, signed or unsigned as in `element`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if it has another type, or its size contradicts its shape.
    pub fn to_bytes(&self, element: ElementType) -> Result<&[u8]> {
        self.elements(element, 1)
    }

    /// The bytes of the elements, `width` each, if type and shape match.
    fn elements(&self, element: ElementType, width: i64) -> Result<&[u8]> {
        let Self { data_type, dims, raw_data, .. } = self;
        let bytes = dims.iter().try_fold(width, |product, &side| product.checked_mul(side));
        if *data_type == element as i32 && bytes == Some(raw_data.len() as i64) {
            return Ok(raw_data);
        }
        Err(self.wrong_size())
    }

    /// The error of a tensor whose type or size contradicts its shape.
    pub(crate) fn wrong_size(&self) -> Error {
        let Self { data_type, dims, raw_data, .. } = self;
        let found = format!("type {data_type}, shape {dims:?}, {} bytes", raw_data.len());
        Error::Tensor { name: self.name.clone(), found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_round_trip_and_other_types_are_refused() {
        let tensor = TensorProto::floats("a", &[2, 1], &[1.5, -0.0]);
        assert_eq!(tensor.to_floats().unwrap(), [1.5, -0.0]);
        let short = TensorProto { dims: vec![3], ..tensor.clone() };
        assert!(short.to_floats().unwrap_err().to_string().contains("a: found type 1"));
        let huge = TensorProto { dims: vec![i64::MAX, 4], ..tensor };
        assert!(huge.to_floats().is_err());
        assert!(TensorProto::longs("b", &[7]).to_floats().is_err());
    }

    #[test]
    fn bytes_are_decoded_only_as_their_own_type() {
        let data_type = ElementType::Int8 as i32;
        let tensor =
            TensorProto { dims: vec![2], data_type, name: "a".to_owned(), raw_data: vec![1, 255] };
        assert_eq!(tensor.to_bytes(ElementType::Int8).unwrap(), [1, 255]);
        assert!(tensor.to_bytes(ElementType::Uint8).is_err());
        let short = TensorProto { dims: vec![3], ..tensor };
        assert!(short.to_bytes(ElementType::Int8).is_err());
    }
}
