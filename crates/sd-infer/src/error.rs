//! Errors of files, images and options.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// A file that is not an exported network.
    #[error("{}: {cause}", path.display())]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        cause: sd_onnx::Error,
    },
    /// A graph that is malformed or exceeds a limit.
    #[error(transparent)]
    Graph(#[from] sd_onnx::Error),
    /// Files that are not the segments of one network.
    #[error("{}: found {found}, expected {expected}", path.display())]
    Segments {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A network that the engine cannot load or run.
    #[error("{runtime}: {reason}")]
    Runtime {
        /// Name of the engine.
        runtime: &'static str,
        /// Its message.
        reason: String,
    },
    /// A thread that cannot be started.
    #[error("cannot start a thread for the network: {0}")]
    Thread(std::io::Error),
    /// An engine that this build does not include.
    #[error("this build has no engine {0}; enable the feature {0} of the crate sd-infer")]
    NoRuntime(&'static str),
    /// Outputs whose shape contradicts the metadata.
    #[error("the network's output {output} has shape {found:?}, expected {expected:?}")]
    Output {
        /// Index of the output.
        output: usize,
        /// Its shape.
        found: Vec<usize>,
        /// The shape by the metadata.
        expected: Vec<usize>,
    },
    /// Logits that are not finite.
    #[error("the network's output {output} is not finite; its weights or the image are damaged")]
    NotFinite {
        /// Index of the output.
        output: usize,
    },
    /// A folder without images.
    #[error("no image in {}, expected files named .bmp, .gif, .jpeg, .jpg, .png or .webp", folder.display())]
    NoImage {
        /// The folder.
        folder: PathBuf,
    },
    /// A file that is not a supported image.
    #[error("{name}: {cause}")]
    Image {
        /// Name of the file.
        name: String,
        /// The cause.
        cause: sd_image::Error,
    },
    /// An option outside its range.
    #[error("{key} is {found}, expected {expected}")]
    Value {
        /// The option.
        key: &'static str,
        /// Its value.
        found: String,
        /// The accepted range.
        expected: &'static str,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
