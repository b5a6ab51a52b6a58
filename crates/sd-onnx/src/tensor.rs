//! Encoding and decoding of tensors.

use crate::proto::{ElementType, TensorProto};
use crate::{Error, Result};

impl TensorProto {
    /// A tensor of the bytes of its elements.
    pub fn new(name: &str, dims: &[i64], element: ElementType, raw_data: Vec<u8>) -> Self {
        let (dims, name) = (dims.to_vec(), name.to_owned());
        Self { dims, data_type: element as i32, name, raw_data, ..Self::default() }
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

    /// Moves the values of a typed field to `raw_data`.
    ///
    /// # Errors
    /// [`Error::External`] if they are in another file, [`Error::Tensor`] if several fields have
    /// values, or values of another type.
    pub(crate) fn make_raw(&mut self) -> Result<()> {
        if self.data_location == Self::EXTERNAL || !self.external_data.is_empty() {
            let location = self.external_data.iter().find(|entry| entry.key == "location");
            let file = location.map_or_else(String::new, |entry| entry.value.clone());
            return Err(Error::External { name: self.name.clone(), file });
        }
        let floats = std::mem::take(&mut self.float_data);
        let shorts = std::mem::take(&mut self.int32_data);
        let longs = std::mem::take(&mut self.int64_data);
        let lengths = [floats.len(), shorts.len(), longs.len(), self.raw_data.len()];
        let typed = lengths[..3].iter().sum::<usize>();
        let wrong = |tensor: &Self| Error::Tensor {
            name: tensor.name.clone(),
            found: format!("type {}, {typed} values in typed fields", tensor.type_name()),
        };
        if lengths.iter().filter(|&&len| len > 0).count() > 1 {
            return Err(wrong(self));
        }
        if typed == 0 {
            return Ok(());
        }
        self.raw_data = match ElementType::try_from(self.data_type) {
            Ok(ElementType::Float) => floats.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Ok(ElementType::Int32) => shorts.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Ok(ElementType::Int64) => longs.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Ok(ElementType::Int8) => shorts.iter().map(|&value| value as i8 as u8).collect(),
            Ok(ElementType::Uint8) => shorts.iter().map(|&value| value as u8).collect(),
            _ => vec![],
        };
        if self.raw_data.is_empty() { Err(wrong(self)) } else { Ok(()) }
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
        let Self { dims, raw_data, .. } = self;
        let found = format!("type {}, shape {dims:?}, {} bytes", self.type_name(), raw_data.len());
        Error::Tensor { name: self.name.clone(), found }
    }

    /// The element type as ONNX names it, or its number.
    fn type_name(&self) -> String {
        let names = [
            "UNDEFINED",
            "FLOAT",
            "UINT8",
            "INT8",
            "UINT16",
            "INT16",
            "INT32",
            "INT64",
            "STRING",
            "BOOL",
            "FLOAT16",
            "DOUBLE",
            "UINT32",
            "UINT64",
            "COMPLEX64",
            "COMPLEX128",
            "BFLOAT16",
        ];
        let name = usize::try_from(self.data_type).ok().and_then(|number| names.get(number));
        name.map_or_else(|| self.data_type.to_string(), |&name| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::StringStringEntryProto;

    #[test]
    fn floats_round_trip_and_other_types_are_refused() {
        let tensor = TensorProto::floats("a", &[2, 1], &[1.5, -0.0]);
        assert_eq!(tensor.to_floats().unwrap(), [1.5, -0.0]);
        let short = TensorProto { dims: vec![3], ..tensor.clone() };
        assert!(
            short.to_floats().unwrap_err().to_string().contains("a: found type FLOAT, shape [3]")
        );
        let huge = TensorProto { dims: vec![i64::MAX, 4], ..tensor };
        assert!(huge.to_floats().is_err());
        assert!(TensorProto::longs("b", &[7]).to_floats().is_err());
    }

    #[test]
    fn bytes_are_decoded_only_as_their_own_type() {
        let data_type = ElementType::Int8 as i32;
        let tensor =
            TensorProto { dims: vec![2], data_type, raw_data: vec![1, 255], ..Default::default() };
        assert_eq!(tensor.to_bytes(ElementType::Int8).unwrap(), [1, 255]);
        assert!(tensor.to_bytes(ElementType::Uint8).is_err());
        let short = TensorProto { dims: vec![3], ..tensor };
        assert!(short.to_bytes(ElementType::Int8).is_err());
    }

    fn typed(element: ElementType, dims: &[i64]) -> TensorProto {
        TensorProto::new("typed", dims, element, vec![])
    }

    #[test]
    fn values_of_typed_fields_are_moved_to_the_raw_ones() {
        let raw = |tensor: TensorProto| {
            let mut tensor = tensor;
            tensor.make_raw().map(|()| tensor)
        };
        let floats = TensorProto { float_data: vec![1.5, -2.0], ..typed(ElementType::Float, &[2]) };
        assert_eq!(raw(floats.clone()).unwrap().to_floats().unwrap(), [1.5, -2.0]);
        let longs =
            TensorProto { int64_data: vec![-7, 1 << 40], ..typed(ElementType::Int64, &[2]) };
        let expected = TensorProto::longs("typed", &[-7, 1 << 40]);
        assert_eq!(raw(longs).unwrap(), expected);
        let bytes = |element, values: &[i32]| {
            let int32_data = values.to_vec();
            raw(TensorProto { int32_data, ..typed(element, &[values.len() as i64]) })
        };
        let int8 = bytes(ElementType::Int8, &[-1, 5]).unwrap();
        assert_eq!(int8.to_bytes(ElementType::Int8).unwrap(), [255, 5]);
        let uint8 = bytes(ElementType::Uint8, &[200]).unwrap();
        assert_eq!(uint8.to_bytes(ElementType::Uint8).unwrap(), [200]);
        assert_eq!(bytes(ElementType::Int32, &[-2]).unwrap().raw_data, (-2i32).to_le_bytes());

        let both = TensorProto { raw_data: vec![0; 8], ..floats.clone() };
        assert!(raw(both).is_err());
        let half = TensorProto { data_type: 10, int32_data: vec![0x3c00], ..floats };
        let half = TensorProto { float_data: vec![], ..half };
        assert!(raw(half).unwrap_err().to_string().contains("type FLOAT16"));
    }

    #[test]
    fn external_data_are_named() {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let mut tensor = TensorProto {
            external_data: vec![entry("offset", "0"), entry("location", "weights.bin")],
            data_location: TensorProto::EXTERNAL,
            ..typed(ElementType::Float, &[2])
        };
        assert_eq!(
            tensor.make_raw().unwrap_err().to_string(),
            "the tensor typed: found its values in the file `weights.bin`, expected one file with all values"
        );
    }
}
