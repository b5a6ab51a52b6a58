//! Pooling.

use sd_onnx::{Graph, Value, int};
use tch::{Tensor, nn};

use crate::onnx::sliding;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result};

/// Maximum in each window.
#[derive(Debug)]
pub struct MaxPool(pub Window);

impl nn::Module for MaxPool {
    fn forward(&self, input: &Tensor) -> Tensor {
        let Window { kernel, stride, padding } = self.0;
        input.max_pool2d([kernel, kernel], [stride, stride], [padding, padding], [1, 1], false)
    }
}

impl Block for MaxPool {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        input.slide(self.0, input.channels)
    }

    fn cost(&self, _: FeatureShape) -> Result<Cost> {
        Ok(Cost::ZERO)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        Ok(graph.node("MaxPool", &[input], sliding(self.0)))
    }
}

/// Mean in each window.
#[derive(Debug)]
pub struct AveragePool(pub Window);

impl nn::Module for AveragePool {
    fn forward(&self, input: &Tensor) -> Tensor {
        let Window { kernel, stride, padding } = self.0;
        let (kernel, stride, padding) = ([kernel, kernel], [stride, stride], [padding, padding]);
        input.avg_pool2d(kernel, stride, padding, false, true, None)
    }
}

impl Block for AveragePool {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        input.slide(self.0, input.channels)
    }

    fn cost(&self, _: FeatureShape) -> Result<Cost> {
        Ok(Cost::ZERO)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let mut attributes = sliding(self.0);
        attributes.push(int("count_include_pad", 1));
        Ok(graph.node("AveragePool", &[input], attributes))
    }
}

/// Writes [`global_average`](crate::global_average) into an ONNX graph: `[N, C, H, W]` to `[N, C]`.
pub fn write_global_average(graph: &mut Graph, input: &Value) -> Value {
    let means = graph.node("GlobalAveragePool", &[input], vec![]);
    graph.node("Flatten", &[&means], vec![int("axis", 1)])
}
