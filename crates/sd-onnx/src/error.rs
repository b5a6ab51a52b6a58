//! Errors of files and graphs.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not an ONNX file.
    #[error("not an ONNX file: {0}")]
    Decode(prost::DecodeError),
    /// A file without this project's metadata.
    #[error("found no `{key}` in the file's metadata, expected a file of `cargo xtask export`")]
    NoMetadata {
        /// The key.
        key: &'static str,
    },
    /// Metadata that cannot be read.
    #[error("the file's metadata `{key}`: {cause}")]
    Metadata {
        /// The key.
        key: &'static str,
        /// The cause.
        cause: serde_json::Error,
    },
    /// Metadata whose values contradict each other.
    #[error("the file's metadata: {key} is {found}, expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Nodes that are not in execution order.
    #[error("the graph's value {name} is {found}, expected one definition before its uses")]
    Order {
        /// The value's name.
        name: String,
        /// What was found.
        found: &'static str,
    },
    /// A tensor of unexpected type or shape.
    #[error(
        "the tensor {name}: found {found}, expected as many values of a supported type as its shape says"
    )]
    Tensor {
        /// Its name.
        name: String,
        /// What was found.
        found: String,
    },
    /// A tensor whose values are in another file.
    #[error(
        "the tensor {name}: found its values in the file `{file}`, expected one file with all values"
    )]
    External {
        /// Its name.
        name: String,
        /// The other file.
        file: String,
    },
    /// An attribute of a type that is not read.
    #[error(
        "{node}: the attribute {name} has type {found}, expected FLOAT, INT, STRING, FLOATS or INTS"
    )]
    Attribute {
        /// Operator and name of the node.
        node: String,
        /// Name of the attribute.
        name: String,
        /// Number of its type.
        found: i32,
    },
    /// A graph without exactly one input of known shape.
    #[error("the graph: found {found}, expected one input [N, …] of known sides")]
    Input {
        /// What was found.
        found: String,
    },
    /// A graph of too many nodes.
    #[error("the graph: found {found} nodes, expected at most {limit}")]
    Nodes {
        /// Number of nodes.
        found: usize,
        /// The most accepted.
        limit: usize,
    },
    /// A file of too many nodes, attributes and other fields. 16 packed integers count as a field.
    #[error("the file has more than {limit} fields")]
    Fields {
        /// The most accepted.
        limit: usize,
    },
    /// A node whose output shape cannot be computed in advance.
    #[error("{node}: the shape of its output is unknown before it runs")]
    Operator {
        /// Operator and name of the node.
        node: String,
    },
    /// A node that does not accept the shapes of its inputs.
    #[error("{node}: unsupported input shapes {found:?}")]
    Shapes {
        /// Operator and name of the node.
        node: String,
        /// Shape of each input, for one image.
        found: Vec<Vec<usize>>,
    },
    /// A graph whose weights and values take too much memory.
    #[error("the graph needs {found} bytes, expected at most {limit} (max_memory)")]
    Memory {
        /// Bytes that it needs.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A graph that takes too much work.
    #[error(
        "the graph needs the work of {found} multiply-accumulates, expected at most {limit} (max_work)"
    )]
    Work {
        /// Work that it needs.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A value without a calibrated range.
    #[error("no range was measured for {0}")]
    Range(String),
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
