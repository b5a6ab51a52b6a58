//! Errors of loading and running a network.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not an ONNX file, a graph whose nodes are not in execution order, or one that
    /// exceeds [`Options::max_memory`](crate::Options) or [`Options::max_work`](crate::Options).
    #[error(transparent)]
    Onnx(sd_onnx::Error),
    /// A graph whose inputs or outputs are unsupported.
    #[error("unsupported graph: {0}")]
    Graph(&'static str),
    /// A node without a kernel.
    #[error("{node}: no native kernel")]
    Unsupported {
        /// Operator and name of the node.
        node: String,
    },
    /// A node that does not accept the shapes of its inputs.
    #[error("{node}: unsupported input shapes {found:?}")]
    Shape {
        /// Operator and name of the node.
        node: String,
        /// Shape of each input: `[N, C, H, W]`, `[N, C]`, or that of a weight.
        found: Vec<Vec<usize>>,
    },
    /// A batch that is not `[N, C, H, W]`, is empty along an axis but N, or is too large.
    #[error(
        "unsupported input shape {found:?}, expected [N, C, H, W] of at most 2²⁶ values per image"
    )]
    Input {
        /// Shape of the batch.
        found: Vec<usize>,
    },
    /// A run that did not end before its deadline.
    #[error("the deadline passed before {node}")]
    Deadline {
        /// Operator and name of the node that was next.
        node: String,
    },
}

impl From<sd_onnx::Error> for Error {
    fn from(error: sd_onnx::Error) -> Self {
        match error {
            sd_onnx::Error::Operator { node } => Self::Unsupported { node },
            sd_onnx::Error::Shapes { node, found } => Self::Shape { node, found },
            error => Self::Onnx(error),
        }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
