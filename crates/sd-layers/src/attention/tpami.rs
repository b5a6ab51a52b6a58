//! The attention before the shallow classifiers of *Self-Distillation: Towards Efficient and Compact
//! Neural Networks* (Zhang et al., TPAMI 2021, <https://doi.org/10.1109/TPAMI.2021.3067100>), as in
//! the authors' code: a baseline.

use sd_onnx::{Graph, Value, string};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use crate::shape::Window;
use crate::{
    BatchNorm, Block, ConvGeometry, Cost, Error, FeatureShape, Result, SeparablePair, Sequential,
};

/// The map weighed by σ of itself through separable convolutions with stride 2, batch norm, ReLU
/// and bilinear upsampling: 2C² + 18C parameters and three batch norms. No weight is below ½.
#[derive(Debug)]
pub struct TpamiAttention(Sequential);

impl TpamiAttention {
    /// The attention for this many channels.
    ///
    /// # Errors
    /// See [`SeparablePair::new`].
    pub fn new(vs: &nn::Path, channels: i64) -> Result<Self> {
        let halve =
            ConvGeometry { inputs: channels, outputs: channels, window: Window::same(3, 2) };
        Ok(Self(
            Sequential::new()
                .then(SeparablePair::new(&(vs / "separable"), halve)?)
                .then(BatchNorm::relu(&(vs / "norm"), channels)),
        ))
    }
}

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

    /// Of a map with odd sides, the scale is no number that every runtime rounds alike.
    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        if shape.height % 2 == 1 || shape.width % 2 == 1 {
            return Err(Error::NotWritten {
                block: "the journal version's attention on odd sides",
            });
        }
        let half = self.0.onnx(graph, input, shape)?;
        // Before the first row and column tract 0.22 extrapolates, where the others repeat. So they are
        // repeated, and cut off again.
        let border = graph.longs("border", &[0, 0, 1, 1, 0, 0, 1, 1]);
        let half = graph.node("Pad", &[&half, &border], vec![string("mode", "edge")]);
        let scales = graph.weight("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
        let linear =
            vec![string("mode", "linear"), string("coordinate_transformation_mode", "half_pixel")];
        let map = graph.node("Resize", &[&half, &Value::none(), &scales], linear);
        let places = [[2, 2], [2 + shape.height, 2 + shape.width], [2, 3]];
        let [starts, ends, axes] = places.map(|values| graph.longs("cut", &values));
        let map = graph.node("Slice", &[&map, &starts, &ends, &axes], vec![]);
        let weights = graph.node("Sigmoid", &[&map], vec![]);
        Ok(graph.node("Mul", &[input, &weights], vec![]))
    }
}
