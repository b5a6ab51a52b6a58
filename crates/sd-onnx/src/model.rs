//! A whole file.

use std::collections::HashSet;

use prost::Message;

use crate::proto::{
    GraphProto, MetadataOnly, ModelProto, OperatorSetIdProto, StringStringEntryProto,
};
use crate::{Error, Metadata, Result};

/// The set of operators that graphs are written in.
pub const OPSET: i64 = 17;
/// The version of the format that came with it.
const IR_VERSION: i64 = 8;

/// The bytes of a file with this graph and metadata.
///
/// # Panics
/// Never: the metadata are plain text and numbers.
pub fn encode(graph: GraphProto, metadata: &Metadata) -> Vec<u8> {
    let value = serde_json::to_string(metadata).expect("text and numbers");
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

/// The metadata of a file, without a copy of its weights.
///
/// # Errors
/// If the bytes are no ONNX file, or not one with this project's metadata.
pub fn read_metadata(bytes: &[u8]) -> Result<Metadata> {
    let model = MetadataOnly::decode(bytes)?;
    let entry = model.metadata_props.iter().find(|entry| entry.key == Metadata::KEY);
    Metadata::parse(&entry.ok_or(Error::NoMetadata { key: Metadata::KEY })?.value)
}

/// The graph of a file.
///
/// # Errors
/// If the bytes are no ONNX file, or its nodes are not in the order that [`rewrite`] asks for.
pub fn read_graph(bytes: &[u8]) -> Result<GraphProto> {
    let graph = ModelProto::decode(bytes)?.graph.unwrap_or_default();
    check_order(&graph)?;
    Ok(graph)
}

/// The file again, of the fields in [`proto`](crate::proto) alone: all that [`encode`] writes, and
/// no length that reaches beyond what it is the length of. Each node comes after those whose
/// values it takes, and no value is given twice: there is no circle.
///
/// # Errors
/// If the bytes are no ONNX file, or its nodes are not in such an order.
pub fn rewrite(bytes: &[u8]) -> Result<Vec<u8>> {
    let model = ModelProto::decode(bytes)?;
    if let Some(graph) = &model.graph {
        check_order(graph)?;
    }
    Ok(model.encode_to_vec())
}

/// Checks that every node comes after those whose outputs it takes, and that no value is defined
/// twice: the graph has no cycle.
///
/// # Errors
/// [`Error::Order`] names the first value that is not so.
pub fn check_order(graph: &GraphProto) -> Result<()> {
    let inputs = graph.input.iter().map(|input| &input.name);
    let weights = graph.initializer.iter().map(|weight| &weight.name);
    let mut given = HashSet::new();
    for name in inputs.chain(weights) {
        if !given.insert(name) {
            return Err(Error::Order { name: name.clone(), found: "given twice" });
        }
    }
    for node in &graph.node {
        // An empty name stands for none.
        if let Some(name) = node.input.iter().find(|name| !name.is_empty() && !given.contains(name))
        {
            return Err(Error::Order { name: name.clone(), found: "taken before it is given" });
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !given.insert(name) {
                return Err(Error::Order { name: name.clone(), found: "given twice" });
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
    fn the_metadata_come_back() {
        assert_eq!(read_metadata(&file()).unwrap(), metadata());
        let model = ModelProto::decode(&*file()).unwrap();
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        assert_eq!(rewrite(&file()).unwrap(), file());
    }

    #[test]
    fn circles_are_refused() {
        let changed = |change: fn(&mut GraphProto)| {
            let mut model = ModelProto::decode(&*file()).unwrap();
            change(model.graph.as_mut().unwrap());
            rewrite(&model.encode_to_vec()).unwrap_err().to_string()
        };
        let itself = changed(|graph| graph.node[0].input[0] = graph.node[0].output[0].clone());
        assert!(itself.contains("is taken before it is given"), "{itself}");
        let again = changed(|graph| graph.node[0].output.push("images".to_owned()));
        assert_eq!(again, "the graph's value images is given twice, expected once and then taken");
    }

    #[test]
    fn another_file_is_an_error() {
        let nothing = read_metadata(&[]).unwrap_err().to_string();
        assert!(nothing.contains("expected a file of `cargo xtask export`"), "{nothing}");
        assert!(read_metadata(b"\x89PNG").is_err());
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
