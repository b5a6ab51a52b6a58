//! What can be wrong with a file, an image or a choice.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file that is no exported network.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: sd_onnx::Error,
    },
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
    /// A network that the runtime cannot load or run.
    #[error("{runtime}: {reason}")]
    Runtime {
        /// The runtime.
        runtime: &'static str,
        /// What it said.
        reason: String,
    },
    /// A runtime that this program was built without.
    #[error(
        "this program was built without the runtime {0}, a cargo feature of the crate sd-infer"
    )]
    NoRuntime(&'static str),
    /// Outputs of another shape than the metadata promise.
    #[error("the network's output {output} has shape {found:?}, expected {expected:?}")]
    Output {
        /// Its place.
        output: usize,
        /// Its shape.
        found: Vec<usize>,
        /// What the metadata promise.
        expected: Vec<usize>,
    },
    /// A folder without images.
    #[error("no image in {}, expected files named .jpeg, .jpg, .png or .webp", folder.display())]
    NoImage {
        /// The folder.
        folder: PathBuf,
    },
    /// Bytes that are no image.
    #[error("{name}: {source}")]
    Image {
        /// What the image is called.
        name: String,
        /// What is wrong with them.
        source: sd_image::Error,
    },
    /// A value outside its range.
    #[error("{key} is {found}, expected {expected}")]
    Value {
        /// The value's name.
        key: &'static str,
        /// The value found.
        found: String,
        /// The values allowed.
        expected: &'static str,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
