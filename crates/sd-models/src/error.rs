//! Errors in a network's configuration or its file of weights.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer with an invalid configuration.
    #[error("{place}: {cause}")]
    Layer {
        /// The stage or exit.
        place: String,
        /// The error of the layer.
        cause: sd_layers::Error,
    },
    /// An unsupported depth.
    #[error("{family} has no depth {found}, expected one of {expected:?}")]
    Depth {
        /// ResNet or VGG.
        family: &'static str,
        /// The depth found.
        found: u32,
        /// The supported depths.
        expected: &'static [u32],
    },
    /// A list with another number of entries than the network has stages.
    #[error("{key} lists {found} stages, the network has {expected}")]
    Stages {
        /// The configuration's key.
        key: &'static str,
        /// Entries found.
        found: usize,
        /// Stages of the network.
        expected: usize,
    },
    /// A width multiplier out of range.
    #[error("width is {found}, expected a number above 0, at most {most}")]
    Width {
        /// The width found.
        found: f64,
        /// The largest width.
        most: f64,
    },
    /// A part that the backbone does not have.
    #[error("found the part `{found}`, expected one of {expected}")]
    Part {
        /// The part found.
        found: String,
        /// The parts of the backbone.
        expected: String,
    },
    /// An output stride that is not a power of two, or that the stem and stages do not allow.
    #[error("{family}.output_stride is {found}, expected a power of two from {least} to {most}")]
    OutputStride {
        /// The family of networks.
        family: &'static str,
        /// The stride found.
        found: i64,
        /// The stem's stride.
        least: i64,
        /// The stride of a network whose stages all halve.
        most: i64,
    },
    /// A list of stages or exits whose numbers do not increase or are out of range.
    #[error("{key} is {found:?}, expected increasing numbers from 1 to {last}")]
    Exits {
        /// The configuration's key.
        key: &'static str,
        /// The list found.
        found: Vec<usize>,
        /// The largest number.
        last: usize,
    },
    /// An exit that the network does not have.
    #[error("the network has no exit {found}, expected a number below {exits}")]
    NoExit {
        /// The exit, counted from 0.
        found: usize,
        /// Exits of the network.
        exits: usize,
    },
    /// Tensors that cannot be written.
    #[error("the tensors cannot be written: {reason}")]
    Encode {
        /// The reason.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// An invalid safetensors file.
    #[error("{}: not a whole safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The weights of another network.
    #[error("{}: weights of another configuration: {difference}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The differing tensors.
        difference: String,
    },
    /// Weights with which no network can compute.
    #[error("{}: {name} has {found}, expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What was found.
        found: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// A network that the library does not have.
    #[error("{library} has no {network}: expected {expected}")]
    NoCounterpart {
        /// torchvision or timm.
        library: &'static str,
        /// A short description of the network.
        network: String,
        /// What the library has instead.
        expected: &'static str,
    },
    /// A variable of the network that the tensors lack.
    #[error("{0} is missing")]
    Variable(String),
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds the stage or exit to a layer's error.
pub(crate) trait At<T> {
    fn at(self, place: impl Into<String>) -> Result<T>;
}

impl<T> At<T> for sd_layers::Result<T> {
    fn at(self, place: impl Into<String>) -> Result<T> {
        self.map_err(|cause| Error::Layer { place: place.into(), cause })
    }
}
