//! What can be wrong with a network's configuration or its file of weights.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer that does not fit.
    #[error("{place}: {source}")]
    Layer {
        /// The stage or exit.
        place: String,
        /// What is wrong with the layer.
        source: sd_layers::Error,
    },
    /// A depth that the family does not have.
    #[error("{family} has no depth {found}, expected one of {expected:?}")]
    Depth {
        /// ResNet or VGG.
        family: &'static str,
        /// The depth found.
        found: u32,
        /// The depths there are.
        expected: &'static [u32],
    },
    /// A list by stage that has another number of entries than the network has stages.
    #[error("{key} lists {found} stages, the network has {expected}")]
    Stages {
        /// The configuration's key.
        key: &'static str,
        /// Entries found.
        found: usize,
        /// Stages of the network.
        expected: usize,
    },
    /// A width multiplier that is not a positive number, or would not fit into memory.
    #[error("width is {found}, expected a number above 0, at most {most}")]
    Width {
        /// The width found.
        found: f64,
        /// The largest width.
        most: f64,
    },
    /// An output stride that is no power of two, or out of what the stem and the stages allow.
    #[error("{family}.output_stride is {found}, expected a power of two from {least} to {most}")]
    OutputStride {
        /// The family of networks.
        family: &'static str,
        /// The stride found.
        found: i64,
        /// The stem's.
        least: i64,
        /// That of a network whose stages all halve.
        most: i64,
    },
    /// Stages of exits, or exits with adapters, that are not increasing numbers of such.
    #[error("{key} is {found:?}, expected increasing numbers from 1 to {last}")]
    Exits {
        /// The configuration's key.
        key: &'static str,
        /// The list found.
        found: Vec<usize>,
        /// The last stage that an exit may hang on, or the last exit.
        last: usize,
    },
    /// An exit that the network does not have.
    #[error("the network has no exit {found}, expected a number below {exits}")]
    NoExit {
        /// The exit, the first being 0.
        found: usize,
        /// Exits of the network.
        exits: usize,
    },
    /// Tensors that could not be brought into a file's form.
    #[error("the tensors cannot be written: {reason}")]
    Encode {
        /// What went wrong.
        reason: String,
    },
    /// A file that could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file that is no safetensors file, or a tensor in it that cannot be read.
    #[error("{}: not a whole safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
    },
    /// Weights of another network.
    #[error("{}: weights of another configuration: {difference}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The tensors that differ.
        difference: String,
    },
    /// A network that a library does not have.
    #[error("{library} has no {network}: expected {expected}")]
    NoCounterpart {
        /// torchvision or timm.
        library: &'static str,
        /// The network, in a few words.
        network: String,
        /// What the library has.
        expected: &'static str,
    },
    /// A variable that the network has and the tensors at hand lack.
    #[error("{0} is missing")]
    Variable(String),
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Says in which stage or exit a layer does not fit.
pub(crate) trait At<T> {
    fn at(self, place: impl Into<String>) -> Result<T>;
}

impl<T> At<T> for sd_layers::Result<T> {
    fn at(self, place: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Layer { place: place.into(), source })
    }
}
