//! Libraries with state dicts of the same networks, and the names of a layer on both sides.

/// A library whose state dicts are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Library {
    /// torchvision.
    Torchvision,
    /// timm.
    Timm,
}

/// A layer, with its name in this project and in a library.
#[derive(Debug)]
pub struct Layer {
    /// The name in this project.
    pub ours: String,
    /// The name in the library.
    pub theirs: String,
    pub(crate) kind: LayerKind,
}

/// What a layer's tensors are, and how they differ in the library.
#[derive(Debug)]
pub(crate) enum LayerKind {
    /// A convolution without bias.
    Convolution,
    /// A convolution with a bias in the library alone, before the batch norm of this name.
    BiasedConvolution(String),
    BatchNorm,
    Linear,
    /// A linear layer that the library computes as a convolution with a window of this side.
    LinearAsConvolution(i64),
}

impl Layer {
    pub(crate) fn new(ours: impl Into<String>, theirs: impl Into<String>, kind: LayerKind) -> Self {
        Self { ours: ours.into(), theirs: theirs.into(), kind }
    }

    /// A convolution without bias and the batch norm after it, `OURS.conv` and `OURS.norm`.
    pub(crate) fn conv_norm(
        ours: &str,
        conv: impl Into<String>,
        norm: impl Into<String>,
    ) -> [Self; 2] {
        [
            Self::new(format!("{ours}.conv"), conv, LayerKind::Convolution),
            Self::new(format!("{ours}.norm"), norm, LayerKind::BatchNorm),
        ]
    }

    /// The last part of its tensors' names, the same on both sides.
    pub(crate) fn tensors(&self) -> &'static [&'static str] {
        match self.kind {
            LayerKind::Convolution | LayerKind::BiasedConvolution(_) => &["weight"],
            LayerKind::BatchNorm => &["weight", "bias", "running_mean", "running_var"],
            LayerKind::Linear | LayerKind::LinearAsConvolution(_) => &["weight", "bias"],
        }
    }
}
