//! Coordinate attention (Hou et al. 2021, <https://arxiv.org/abs/2103.02907>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value, int};
use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use super::Attention;
use crate::error::positive;
use crate::onnx;
use crate::{BatchNorm, Block, Convolution, Cost, FeatureShape, Result, Sequential};

/// Minimum channels of the bottleneck, as in the authors' code.
const MIN_HIDDEN: i64 = 8;

/// Coordinate attention: each value scaled by weights of its row and of its column, from the means
/// along both. About 3C · max(8, C/r) parameters, without biases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CoordinateConfig {
    /// r: the bottleneck has C / r channels, at least 8; the paper's 32.
    pub reduction: i64,
}

impl Default for CoordinateConfig {
    fn default() -> Self {
        Self { reduction: 32 }
    }
}

impl Attention for CoordinateConfig {
    fn build(&self, vs: &nn::Path, channels: i64) -> Result<Sequential> {
        let reduction = positive("coordinate.reduction", self.reduction)?;
        let hidden = (channels / reduction).max(MIN_HIDDEN);
        Ok(Sequential::new().then(Coordinate {
            reduce: Convolution::pointwise(&(vs / "reduce"), channels, hidden),
            norm: BatchNorm::new(&(vs / "norm"), hidden),
            row: Convolution::pointwise(&(vs / "row"), hidden, channels),
            column: Convolution::pointwise(&(vs / "column"), hidden, channels),
        }))
    }
}

#[derive(Debug)]
struct Coordinate {
    reduce: Convolution,
    norm: BatchNorm,
    row: Convolution,
    column: Convolution,
}

impl ModuleT for Coordinate {
    /// δ of the paper is the authors' hard swish. Rows and columns are concatenated to one map
    /// `[N, C, H + W, 1]` for the layers that they share.
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let (_, _, height, width) = input.size4().expect("a feature map has four axes");
        let rows = input.mean_dim([3i64].as_slice(), true, None);
        let columns = input.mean_dim([2i64].as_slice(), true, None).transpose(2, 3);
        let both = Tensor::cat(&[rows, columns], 2).apply(&self.reduce);
        let both = self.norm.forward_t(&both, train).hardswish();
        let rows = both.narrow(2, 0, height).apply(&self.row).sigmoid();
        let columns = both.narrow(2, height, width).apply(&self.column).sigmoid();
        input * rows * columns.transpose(2, 3)
    }
}

impl Block for Coordinate {
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        let line = |length| FeatureShape { height: length, width: 1, ..input };
        let both = line(input.height + input.width);
        let hidden = self.reduce.output_shape(both)?;
        let row = self.row.cost(FeatureShape { height: input.height, ..hidden })?;
        let column = self.column.cost(FeatureShape { height: input.width, ..hidden })?;
        Ok(self.reduce.cost(both)? + self.norm.cost(hidden)? + row + column)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let rows = onnx::along(graph, "ReduceMean", input, &[3]);
        let columns = onnx::along(graph, "ReduceMean", input, &[2]);
        let columns = onnx::transposed(graph, &columns, &[0, 1, 3, 2]);
        let both = graph.node("Concat", &[&rows, &columns], vec![int("axis", 2)]);
        let both = self.reduce.onnx(graph, &both, shape)?;
        let both = self.norm.onnx(graph, &both, shape)?;
        let both = graph.node("HardSwish", &[&both], vec![]);
        let sizes = [shape.height, shape.width];
        let [rows, columns] = onnx::split(graph, &both, 2, sizes);
        let rows = self.row.onnx(graph, &rows, shape)?;
        let rows = graph.node("Sigmoid", &[&rows], vec![]);
        let columns = self.column.onnx(graph, &columns, shape)?;
        let columns = graph.node("Sigmoid", &[&columns], vec![]);
        let columns = onnx::transposed(graph, &columns, &[0, 1, 3, 2]);
        let scaled = graph.node("Mul", &[input, &rows], vec![]);
        Ok(graph.node("Mul", &[&scaled, &columns], vec![]))
    }
}
