//! Coordinate attention (Hou et al. 2021, <https://arxiv.org/abs/2103.02907>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value, int};
use serde::{Deserialize, Serialize};
use tch::nn::ModuleT;
use tch::{Tensor, nn};

use crate::error::positive;
use crate::onnx;
use crate::shape::Window;
use crate::{BatchNorm, Block, ConvGeometry, Convolution, Cost, FeatureShape, Result};

/// Channels of the bottleneck at least, as in the authors' code.
const LEAST: i64 = 8;

/// Configuration of [`Coordinate`].
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

/// Each value weighed by its row and by its column, from the means along both: about
/// 3C · max(8, C/r) parameters, without biases.
#[derive(Debug)]
pub struct Coordinate {
    reduce: Convolution,
    norm: BatchNorm,
    row: Convolution,
    column: Convolution,
}

impl Coordinate {
    /// Coordinate attention for this many channels.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a reduction that is not positive.
    pub fn new(vs: &nn::Path, channels: i64, config: &CoordinateConfig) -> Result<Self> {
        let hidden = (channels / positive("coordinate.reduction", config.reduction)?).max(LEAST);
        let pointwise = |name, inputs, outputs| {
            let window = Window::same(1, 1);
            Convolution::new(&(vs / name), ConvGeometry { inputs, outputs, window }, 1)
        };
        Ok(Self {
            reduce: pointwise("reduce", channels, hidden)?,
            norm: BatchNorm::new(&(vs / "norm"), hidden),
            row: pointwise("row", hidden, channels)?,
            column: pointwise("column", hidden, channels)?,
        })
    }
}

impl ModuleT for Coordinate {
    /// With the authors' hard swish for the paper's δ. Rows and columns lie end to end in one
    /// map `[N, C, H + W, 1]` for the layers that they share.
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
        let columns = onnx::turned(graph, &columns, &[0, 1, 3, 2]);
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
        let columns = onnx::turned(graph, &columns, &[0, 1, 3, 2]);
        let weighed = graph.node("Mul", &[input, &rows], vec![]);
        Ok(graph.node("Mul", &[&weighed, &columns], vec![]))
    }
}
