//! Triplet attention (Misra et al. 2021, <https://arxiv.org/abs/2010.03045>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value, int};
use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::Attention;
use crate::error::odd;
use crate::onnx;
use crate::shape::Window;
use crate::{BatchNorm, Block, ConvGeometry, Convolution, Cost, FeatureShape, Result, Sequential};

/// Triplet attention: the mean of three weights, one for each pair of the axes C, H and W, from the
/// maximum and mean along the third. 6k² parameters and three batch norms of one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl Attention for TripletConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let window = Window::same(odd("triplet.kernel", self.kernel)?, 1);
        let planes = ConvGeometry { inputs: 2, outputs: 1, window };
        let branches = ["along_channels", "along_height", "along_width"].map(|name| Branch {
            conv: Convolution::dense(&(vs / name / "conv"), planes),
            norm: BatchNorm::new(&(vs / name / "norm"), 1),
        });
        Ok(Sequential::new().then(Triplet { branches, channels }))
    }
}

#[derive(Debug)]
struct Triplet {
    /// Along C, H, W.
    branches: [Branch; 3],
    channels: i64,
}

#[derive(Debug)]
struct Branch {
    conv: Convolution,
    norm: BatchNorm,
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
    /// The paper rotates the map so that the pooled axis comes first; here it is pooled in place.
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let [c, h, w] = &self.branches;
        let weights =
            c.weights(input, 1, train) + h.weights(input, 2, train) + w.weights(input, 3, train);
        input * (weights / 3.0)
    }
}

impl Block for Triplet {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let FeatureShape { channels, height, width } =
            input.expect_channels(self.channels, "triplet attention")?;
        let mut total = Cost::ZERO;
        let planes = [(height, width), (channels, width), (channels, height)];
        for (branch, (height, width)) in self.branches.iter().zip(planes) {
            total += branch.conv.cost(FeatureShape::new(2, height, width))?;
            total += branch.norm.cost(FeatureShape::new(1, height, width))?;
        }
        Ok(total)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        // The pooled axis, and the permutations that bring it to the front and back.
        let orders = [
            (1, [0, 1, 2, 3], [0, 1, 2, 3]),
            (2, [0, 2, 1, 3], [0, 2, 1, 3]),
            (3, [0, 3, 1, 2], [0, 2, 3, 1]),
        ];
        let mut all = Vec::new();
        for (branch, (axis, front, back)) in self.branches.iter().zip(orders) {
            let planes = ["ReduceMax", "ReduceMean"].map(|operator| {
                let pooled = onnx::along(graph, operator, input, &[axis]);
                onnx::transposed(graph, &pooled, &front)
            });
            let planes = graph.node("Concat", &planes.each_ref(), vec![int("axis", 1)]);
            let plane = branch.conv.onnx(graph, &planes, shape)?;
            let plane = branch.norm.onnx(graph, &plane, shape)?;
            let weights = graph.node("Sigmoid", &[&plane], vec![]);
            all.push(onnx::transposed(graph, &weights, &back));
        }
        let sum = graph.node("Add", &[&all[0], &all[1]], vec![]);
        let sum = graph.node("Add", &[&sum, &all[2]], vec![]);
        let third = onnx::scalar(graph, "third", 1.0 / 3.0);
        let weights = graph.node("Mul", &[&sum, &third], vec![]);
        Ok(graph.node("Mul", &[input, &weights], vec![]))
    }
}
