//! Errors of loading and running a network.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not an ONNX file, or a graph whose nodes are not in execution order.
    #[error(transparent)]
    Onnx(#[from] sd_onnx::Error),
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
    #[error("{node}: unsupported input shapes [H, W, C] {found:?}")]
    Shape {
        /// Operator and name of the node.
        node: String,
        /// Shape of each input, without the batch axis.
        found: Vec<[usize; 3]>,
    },
    /// A batch that is not `[N, C, H, W]`, is empty along an axis but N, or is too large.
    #[error(
        "unsupported input shape {found:?}, expected [N, C, H, W] of at most 2²⁶ values per image"
    )]
    Input {
        /// Shape of the batch.
        found: Vec<usize>,
    },
    /// A network whose weights or activations exceed [`Options::memory_limit`](crate::Options).
    #[error("{node}: exceeds the memory limit of {limit} bytes")]
    Memory {
        /// Operator and name of the node at which the limit was exceeded.
        node: String,
        /// The limit.
        limit: usize,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
