//! The shallow classifier of Be Your Own Teacher (Zhang et al. 2019,
//! <https://arxiv.org/abs/1905.08094>), the heavy baseline.

use sd_layers::{
    BatchNormRelu, Block, ConvGeometry, Convolution, Cost, FeatureShape, Linear, Sequential,
    Window, global_average,
};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::{Exit, ExitGeometry, ExitOutput};

/// 1×1 C to M, k×k with stride k, 1×1 M to D, each with batch norm and ReLU, then global pool and
/// linear; M = D/4, and k brings the map to the last stage's size.
#[derive(Debug)]
pub struct Byot {
    body: Sequential,
    linear: Linear,
}

impl Byot {
    /// The classifier for this place.
    ///
    /// # Errors
    /// Says which layer does not fit.
    pub fn new(vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Self> {
        let ExitGeometry { map, last, classes } = geometry;
        let (width, middle) = (last.channels, (last.channels / 4).max(1));
        let ratio = (map.height / last.height).max(1);
        let layers = [
            ("reduce", map.channels, middle, Window::same(1, 1)),
            ("shrink", middle, middle, Window::tiles(ratio)),
            ("expand", middle, width, Window::same(1, 1)),
        ];
        let mut body = Sequential::new();
        for (name, inputs, outputs, window) in layers {
            let vs = vs / name;
            let geometry = ConvGeometry { inputs, outputs, window };
            body = body
                .then(Convolution::new(&(&vs / "conv"), geometry, 1)?)
                .then(BatchNormRelu::new(&(&vs / "norm"), outputs));
        }
        Ok(Self { body, linear: Linear::new(&(vs / "linear"), width, classes) })
    }
}

impl Exit for Byot {
    fn forward(&self, map: &Tensor, train: bool) -> ExitOutput {
        let feature = global_average(&self.body.forward_t(map, train));
        ExitOutput { logits: feature.apply(&self.linear), feature }
    }

    fn cost(&self, map: FeatureShape) -> sd_layers::Result<Cost> {
        Ok(self.body.cost(map)?.0 + self.linear.cost())
    }
}
