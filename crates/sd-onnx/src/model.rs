//! ONNX files.

use std::collections::HashSet;

use prost::Message;

use crate::fields::check_count;
use crate::proto::{
    AttributeProto, GraphProto, MetadataOnly, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto,
};
use crate::{Error, Metadata, Result};

/// Version of the ONNX operator set.
pub const OPSET: i64 = 17;
/// Version of the file format that was introduced with it.
const IR_VERSION: i64 = 8;

/// Encodes a graph and its metadata as an ONNX file.
///
/// # Panics
/// Never: metadata are strings and numbers.
pub fn encode(graph: GraphProto, metadata: &Metadata) -> Vec<u8> {
    let value = serde_json::to_string(metadata).expect("strings and numbers");
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "selfdistill".to_owned(),
        producer_version: metadata.version.clone(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: vec![StringStringEntryProto { key: Metadata::KEY.to_owned(), value }],
    }
    .encode_to_vec()
}

/// Reads the metadata of a file without copying its weights.
///
/// # Errors
/// If the bytes are not an ONNX file with this project's metadata.
pub fn read_metadata(bytes: &[u8]) -> Result<Metadata> {
    check_count(bytes)?;
    let model = MetadataOnly::decode(bytes).map_err(Error::Decode)?;
    parse_metadata(&model.metadata_props)
}

/// Reads a file. Encoded again, it is safe for less careful readers: only the fields in
/// [`proto`](crate::proto) remain, all lengths are within bounds, and the graph has no cycle. The
/// values of all weights are in `raw_data`.
///
/// # Errors
/// If the bytes are not an ONNX file, have too many fields, have weights in another file or attributes
/// that are not read, or as in [`check_order`].
pub fn read_model(bytes: &[u8]) -> Result<ModelProto> {
    check_count(bytes)?;
    let mut model = ModelProto::decode(bytes).map_err(Error::Decode)?;
    if let Some(graph) = &mut model.graph {
        graph.initializer.iter_mut().try_for_each(TensorProto::make_raw)?;
        graph.node.iter().try_for_each(check_attributes)?;
        check_order(graph)?;
    }
    Ok(model)
}

/// Refuses attributes of other types, such as tensors and graphs, which decoding has skipped.
fn check_attributes(node: &NodeProto) -> Result<()> {
    let known = [
        AttributeProto::UNDEFINED,
        AttributeProto::FLOAT,
        AttributeProto::INT,
        AttributeProto::STRING,
        AttributeProto::FLOATS,
        AttributeProto::INTS,
    ];
    match node.attribute.iter().find(|attribute| !known.contains(&attribute.r#type)) {
        None => Ok(()),
        Some(attribute) => Err(Error::Attribute {
            node: format!("{} {}", node.op_type, node.name),
            name: attribute.name.clone(),
            found: attribute.r#type,
        }),
    }
}

impl ModelProto {
    /// Parses the metadata.
    ///
    /// # Errors
    /// If they are not this project's.
    pub fn metadata(&self) -> Result<Metadata> {
        parse_metadata(&self.metadata_props)
    }
}

fn parse_metadata(entries: &[StringStringEntryProto]) -> Result<Metadata> {
    let entry = entries.iter().find(|entry| entry.key == Metadata::KEY);
    Metadata::parse(&entry.ok_or(Error::NoMetadata { key: Metadata::KEY })?.value)
}

/// Checks that every value is defined once and before its uses, so that the graph has no cycle.
///
/// # Errors
/// [`Error::Order`] names the first value for which this does not hold.
pub fn check_order(graph: &GraphProto) -> Result<()> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let weights = graph.initializer.iter().map(|weight| &weight.name);
    let mut defined = HashSet::new();
    for name in inputs.chain(weights) {
        if !defined.insert(name) {
            return Err(Error::Order { name: name.clone(), found: "defined twice" });
        }
    }
    for node in &graph.node {
        // An empty name stands for an omitted input.
        if let Some(name) =
            node.input.iter().find(|name| !name.is_empty() && !defined.contains(name))
        {
            return Err(Error::Order { name: name.clone(), found: "used before it is defined" });
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !defined.insert(name) {
                return Err(Error::Order { name: name.clone(), found: "defined twice" });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Graph;
    use crate::metadata::tests::metadata;
    use proptest::prelude::*;

    fn file() -> Vec<u8> {
        let mut graph = Graph::new("tiny");
        let input = graph.input("images", &[1, 2, 2]);
        let output = graph.node("Relu", &[&input], vec![]);
        graph.output(&output, "logits", &[1, 2, 2]);
        encode(graph.finish(), &metadata())
    }

    #[test]
    fn metadata_and_bytes_round_trip() {
        assert_eq!(read_metadata(&file()).unwrap(), metadata());
        let model = ModelProto::decode(&*file()).unwrap();
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        assert_eq!(read_model(&file()).unwrap().encode_to_vec(), file());
        assert_eq!(read_model(&file()).unwrap().metadata().unwrap(), metadata());
    }

    #[test]
    fn cycles_are_refused() {
        let changed = |change: fn(&mut GraphProto)| {
            let mut model = ModelProto::decode(&*file()).unwrap();
            change(model.graph.as_mut().unwrap());
            read_model(&model.encode_to_vec()).unwrap_err().to_string()
        };
        let own_output = changed(|graph| graph.node[0].input[0] = graph.node[0].output[0].clone());
        assert!(own_output.contains("is used before it is defined"), "{own_output}");
        let twice = changed(|graph| graph.node[0].output.push("images".to_owned()));
        assert_eq!(
            twice,
            "the graph's value images is defined twice, expected one definition before its uses"
        );
    }

    #[test]
    fn attributes_that_are_not_read_are_named() {
        let read = |r#type: i32, floats: &[f32]| {
            let mut model = ModelProto::decode(&*file()).unwrap();
            let (name, floats) = ("value".to_owned(), floats.to_vec());
            let attribute = AttributeProto { name, r#type, floats, ..AttributeProto::default() };
            model.graph.as_mut().unwrap().node[0].attribute.push(attribute);
            read_model(&model.encode_to_vec())
        };
        let floats = read(AttributeProto::FLOATS, &[1.0, 2.5]).unwrap().graph.unwrap();
        assert_eq!(floats.node[0].attribute[0].floats, [1.0, 2.5]);
        assert_eq!(
            read(4, &[]).unwrap_err().to_string(),
            "Relu relu_1_node: the attribute value has type 4, expected FLOAT, INT, STRING, FLOATS or INTS"
        );
    }

    #[test]
    fn files_without_metadata_are_refused() {
        let nothing = read_metadata(&[]).unwrap_err().to_string();
        assert!(nothing.contains("expected a file of `cargo xtask export`"), "{nothing}");
        let error = read_metadata(b"\x89PNG").unwrap_err();
        assert!(error.to_string().starts_with("not an ONNX file: "), "{error}");
        assert!(std::error::Error::source(&error).is_none(), "the message has the cause already");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _ = read_metadata(&bytes);
            bytes = file();
            *at.get_mut(&mut bytes) = byte;
            let _ = read_metadata(&bytes);
            let _ = ModelProto::decode(&*bytes);
        }
    }
}
