//! The attention of the shallow classifiers of *Self-Distillation: Towards Efficient and Compact
//! Neural Networks* (Zhang et al., TPAMI 2021, <https://doi.org/10.1109/TPAMI.2021.3067100>), as in
//! the authors' code: a baseline.

use sd_onnx::{Graph, Value, string};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::Attention;
use crate::onnx;
use crate::shape::Window;
use crate::{
    BatchNorm, Block, ConvGeometry, Cost, Error, FeatureShape, Result, Sequential, separable_pair,
};

/// The map scaled by σ of itself after separable convolutions with stride 2, batch norm, ReLU and
/// bilinear upsampling: 2C² + 18C parameters and three batch norms. No weight is below ½.
pub struct Tpami;

impl Attention for Tpami {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let halve =
            ConvGeometry { inputs: channels, outputs: channels, window: Window::same(3, 2) };
        Ok(Sequential::new().then(TpamiAttention(
            separable_pair(&(vs / "separable"), halve)
                .then(BatchNorm::relu(&(vs / "norm"), channels)),
        )))
    }
}

#[derive(Debug)]
struct TpamiAttention(Sequential);

impl ModuleT for TpamiAttention {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let half = self.0.forward_t(input, train);
        let map = half.upsample_bilinear2d(&input.size()[2..], false, None, None);
        input * map.sigmoid()
    }
}

impl Block for TpamiAttention {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.0.cost(input)
    }

    /// Odd sides are refused: runtimes round their scale differently.
    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        if shape.height % 2 == 1 || shape.width % 2 == 1 {
            return Err(Error::NotWritten { block: "the tpami attention on odd sides" });
        }
        let half = self.0.onnx(graph, input, shape)?;
        // At the border tract 0.22 extrapolates where other runtimes repeat the edge. A border of
        // repeated values, cut off afterwards, gives the same result everywhere.
        let border = graph.longs("border", &[0, 0, 1, 1, 0, 0, 1, 1]);
        let half = graph.node("Pad", &[&half, &border], vec![string("mode", "edge")]);
        let scales = graph.weight("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
        let linear =
            vec![string("mode", "linear"), string("coordinate_transformation_mode", "half_pixel")];
        let map = graph.node("Resize", &[&half, &Value::none(), &scales], linear);
        let map = onnx::cropped(graph, &map, 2, shape);
        Ok(onnx::scaled_by_sigmoid(graph, input, &map))
    }
}
