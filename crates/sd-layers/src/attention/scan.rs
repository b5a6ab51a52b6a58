//! The attention of SCAN's shallow classifiers (Zhang et al. 2019,
//! <https://arxiv.org/abs/1906.03951>), a baseline with many parameters.

use sd_onnx::{Graph, Value};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::Attention;
use crate::init::uniform_fan_in;
use crate::onnx;
use crate::precision::like;
use crate::shape::Window;
use crate::{BatchNorm, Block, ConvGeometry, Convolution, Cost, FeatureShape, Result, Sequential};

/// Side of the transposed convolution's window.
const SIDE: i64 = 4;

/// The map scaled by σ of itself after a 3×3 convolution with stride 2, batch norm, ReLU, a
/// transposed 4×4 convolution with stride 2 and batch norm: 25C² parameters.
///
/// The authors' convolutions have biases, which the batch norm after each cancels.
pub struct Scan;

impl Attention for Scan {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let halve =
            ConvGeometry { inputs: channels, outputs: channels, window: Window::same(3, 2) };
        let size = [channels, channels, SIDE, SIDE];
        let up = vs / "up";
        Ok(Sequential::new().then(ScanAttention {
            down: Sequential::new()
                .then(Convolution::dense(&(vs / "down" / "conv"), halve))
                .then(BatchNorm::relu(&(vs / "down" / "norm"), channels)),
            up: up.var("weight", &size, uniform_fan_in(size[1..].iter().product())),
            norm: BatchNorm::new(&(vs / "norm"), channels),
        }))
    }
}

#[derive(Debug)]
struct ScanAttention {
    down: Sequential,
    up: Tensor,
    norm: BatchNorm,
}

impl ModuleT for ScanAttention {
    /// For odd sides, the last row and column of the transposed convolution's output are cut.
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let (_, _, height, width) = input.size4().expect("a feature map has four axes");
        let half = self.down.forward_t(input, train);
        let weight = like(&self.up, input);
        let map = half.conv_transpose2d(&weight, None::<Tensor>, [2, 2], [1, 1], [0, 0], 1, [1, 1]);
        let map = map.narrow(2, 0, height).narrow(3, 0, width);
        input * self.norm.forward_t(&map, train).sigmoid()
    }
}

impl Block for ScanAttention {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let half = self.down.output_shape(input)?;
        let params = self.up.numel() as u64;
        let up = Cost { params, macs: params * half.positions() };
        Ok(self.down.cost(input)? + up + self.norm.cost(input)?)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let half = self.down.onnx(graph, input, shape)?;
        let weight = onnx::whole(graph, "up_weight", &self.up);
        // Padding is cut afterwards: rten 0.24 panics on a transposed convolution that has it.
        let window = Window { kernel: SIDE, stride: 2, padding: 0 };
        let map = graph.node("ConvTranspose", &[&half, &weight], onnx::sliding(window));
        let map = onnx::cropped(graph, &map, 1, shape);
        let normed = self.norm.onnx(graph, &map, shape)?;
        Ok(onnx::scaled_by_sigmoid(graph, input, &normed))
    }
}
