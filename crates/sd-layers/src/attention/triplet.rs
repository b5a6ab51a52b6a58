//! Triplet attention (Misra et al. 2021, <https://arxiv.org/abs/2010.03045>).

use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use crate::error::odd;
use crate::shape::Window;
use crate::{BatchNorm, Block, ConvGeometry, Convolution, Cost, FeatureShape, Result};

/// Configuration of [`Triplet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TripletConfig {
    /// k: side of the windows, odd; the paper's 7.
    pub kernel: i64,
}

impl Default for TripletConfig {
    fn default() -> Self {
        Self { kernel: 7 }
    }
}

/// The mean of three weights, one for each pair of the axes C, H and W, from the maximum and mean
/// along the third: 6k² parameters and three batch norms of one channel.
#[derive(Debug)]
pub struct Triplet {
    /// Along C, H, W.
    branches: [Branch; 3],
    channels: i64,
}

#[derive(Debug)]
struct Branch {
    conv: Convolution,
    norm: BatchNorm,
}

impl Triplet {
    /// Triplet attention for this many channels.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a kernel that is even or not positive.
    pub fn new(vs: &nn::Path, channels: i64, config: &TripletConfig) -> Result<Self> {
        let window = Window::same(odd("triplet.kernel", config.kernel)?, 1);
        let branch = |name| {
            let vs = vs / name;
            let planes = ConvGeometry { inputs: 2, outputs: 1, window };
            let conv = Convolution::new(&(&vs / "conv"), planes, 1)?;
            Ok(Branch { conv, norm: BatchNorm::new(&(&vs / "norm"), 1) })
        };
        let branches = [branch("along_channels")?, branch("along_height")?, branch("along_width")?];
        Ok(Self { branches, channels })
    }
}

impl Branch {
    /// Weights that broadcast along `axis`.
    fn weights(&self, input: &Tensor, axis: i64, train: bool) -> Tensor {
        let (largest, mean) = (input.amax(axis, false), input.mean_dim(axis, false, None));
        let planes = Tensor::stack(&[largest, mean], 1).apply(&self.conv);
        self.norm.forward_t(&planes, train).sigmoid().squeeze_dim(1).unsqueeze(axis)
    }
}

impl ModuleT for Triplet {
    /// The paper rotates the map so that the pooled axis comes first; here it is
    /// pooled where it lies.
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let [c, h, w] = &self.branches;
        let weights =
            c.weights(input, 1, train) + h.weights(input, 2, train) + w.weights(input, 3, train);
        input * (weights / 3.0)
    }
}

impl Block for Triplet {
    fn cost(&self, input: FeatureShape) -> Result<(Cost, FeatureShape)> {
        let FeatureShape { channels, height, width } =
            input.with_channels(self.channels, "triplet attention")?;
        let mut total = Cost::ZERO;
        let planes = [(height, width), (channels, width), (channels, height)];
        for (branch, (height, width)) in self.branches.iter().zip(planes) {
            let (conv, plane) = branch.conv.cost(FeatureShape::new(2, height, width))?;
            total += conv + branch.norm.cost(plane)?.0;
        }
        Ok((total, input))
    }
}
