//! The number of fields of an encoded file, counted before it is decoded.

use crate::{Error, Result};

/// Maximum number of fields of a file. An empty message takes two bytes in a file and 120 in memory.
const MAX_FIELDS: usize = 1 << 19;
/// Packed integers that count as a field. One takes a byte in a file, and in memory 8, or 24 while the
/// list grows.
const PACKED_PER_FIELD: usize = 16;

/// A message of [`proto`](crate::proto), as far as others are nested in it, or a packed list.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Attribute,
    Tensor,
    Integers,
    Leaf,
}

impl Message {
    /// The message or packed list nested in a field.
    fn nested(self, tag: u64) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 11 | 12) => Self::ValueInfo,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Attribute, 8) | (Self::Tensor, 1 | 5 | 7) => Self::Integers,
            (Self::Model, 8 | 14) | (Self::Shape, 1) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Refuses the bytes of a file with too many fields. Malformed bytes are left to the decoder.
///
/// # Errors
/// [`Error::Fields`].
pub fn check_count(bytes: &[u8]) -> Result<()> {
    let mut left = MAX_FIELDS;
    count(bytes, Message::Model, &mut left).ok_or(Error::Fields { limit: MAX_FIELDS })
}

/// Subtracts the fields from `left`; `None` if it is too small.
fn count(mut bytes: &[u8], message: Message, left: &mut usize) -> Option<()> {
    if let Message::Integers = message {
        let last_bytes = bytes.iter().filter(|&&byte| byte & 0x80 == 0);
        *left = left.checked_sub(last_bytes.count().div_ceil(PACKED_PER_FIELD))?;
        return Some(());
    }
    while let Some(key) = take_varint(&mut bytes) {
        *left = left.checked_sub(1)?;
        let skipped = match key & 7 {
            0 => {
                take_varint(&mut bytes);
                0
            }
            1 => 8,
            2 => {
                let len = take_varint(&mut bytes).and_then(|len| usize::try_from(len).ok());
                let Some((field, _)) = len.and_then(|len| bytes.split_at_checked(len)) else {
                    break;
                };
                if let Some(nested) = message.nested(key >> 3) {
                    count(field, nested, left)?;
                }
                field.len()
            }
            5 => 4,
            // Start and end of a group, whose fields are counted as those of this message.
            _ => 0,
        };
        let Some(rest) = bytes.get(skipped..) else { break };
        bytes = rest;
    }
    Some(())
}

/// Takes a number off the front; `None` if it does not end.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let len = 1 + bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(len);
    *bytes = rest;
    let bits = number.iter().rev().map(|byte| u64::from(byte & 0x7f));
    Some(bits.fold(0, |number, bits| number << 7 | bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
    use prost::Message as _;

    fn file(nodes: usize) -> Vec<u8> {
        let node = vec![NodeProto::default(); nodes];
        let graph = Some(GraphProto { node, ..GraphProto::default() });
        ModelProto { graph, ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn files_of_too_many_empty_messages_are_refused() {
        assert!(check_count(&file(MAX_FIELDS - 1)).is_ok());
        let error = check_count(&file(MAX_FIELDS)).unwrap_err().to_string();
        assert_eq!(error, "the file has more than 524288 fields");
    }

    #[test]
    fn packed_integers_are_counted() {
        let counted = |graph: GraphProto| {
            let bytes = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
            let mut left = MAX_FIELDS;
            count(&bytes, Message::Model, &mut left).map(|()| MAX_FIELDS - left)
        };
        let weight = |tensor| GraphProto { initializer: vec![tensor], ..GraphProto::default() };
        let shorts = |int32_data| weight(TensorProto { int32_data, ..TensorProto::default() });
        let longs = |int64_data| weight(TensorProto { int64_data, ..TensorProto::default() });
        // Graph, weight and list.
        assert_eq!(counted(shorts(vec![1000; 33])), Some(3 + 3));
        assert_eq!(counted(longs(vec![-1; 32])), Some(3 + 2));
        let too_many = MAX_FIELDS * PACKED_PER_FIELD;
        assert_eq!(counted(longs(vec![1; too_many])), None);
        // Lists that are not written packed may be read so.
        let [dims, ints] =
            [[&[0x0a, 40][..], &[1; 40]], [&[0x42, 40], &[1; 40]]].map(|l| l.concat());
        let tensor = [&[0x2a, 42][..], &dims].concat();
        let node = [&[0x0a, 44, 0x2a, 42][..], &ints].concat();
        for (graph, fields) in [(tensor, 2 + 3), (node, 3 + 3)] {
            let mut left = 100;
            count(&graph, Message::Graph, &mut left).unwrap();
            assert_eq!(100 - left, fields);
            GraphProto::decode(&*graph).unwrap();
        }
        let floats = AttributeProto { floats: vec![1.0; 3], ..AttributeProto::default() };
        let node = NodeProto { attribute: vec![floats], ..NodeProto::default() };
        assert_eq!(counted(GraphProto { node: vec![node], ..GraphProto::default() }), Some(3 + 3));
    }

    /// A group hides no field, and bytes that are no message of their own stop nothing.
    #[test]
    fn fields_in_and_after_a_group_are_counted() {
        let counted = |bytes: &[u8]| {
            let mut left = 100;
            count(bytes, Message::Model, &mut left).unwrap();
            100 - left
        };
        assert_eq!(counted(&file(5)), 6);
        // Group 3 with a malformed graph in it.
        let group = [0x1b, 0x3a, 0x01, 0xff, 0x1c];
        assert_eq!(counted(&[&group[..], &file(5)].concat()), 9);
        assert_eq!(counted(&[0x3a, 0x7f, 1, 2]), 1);
        assert_eq!(counted(&[0x08, 0xff]), 1);
    }
}
