//! The number of fields of an encoded file, counted before it is decoded.

use crate::{Error, Result};

/// Maximum number of fields of a file. An empty message takes two bytes in a file and 120 in memory.
const MAX_FIELDS: usize = 1 << 19;

/// A message of [`proto`](crate::proto), as far as others are nested in it.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Leaf,
}

impl Message {
    /// The message nested in a field.
    fn nested(self, tag: u64) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 11 | 12) => Self::ValueInfo,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8 | 14) | (Self::Graph | Self::Node, 5) | (Self::Shape, 1) => Self::Leaf,
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
    use crate::proto::{GraphProto, ModelProto, NodeProto};
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
