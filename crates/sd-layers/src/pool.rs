//! Pooling.

use sd_onnx::{Graph, Value, int};
use tch::{Tensor, nn};

use crate::onnx::sliding;
use crate::shape::Window;
use crate::{Block, Cost, FeatureShape, Result};

/// Pooling in each window of a feature map.
#[derive(Debug)]
pub enum Pool {
    /// The maximum.
    Max(Window),
    /// The mean, with the padding's zeros.
    Average(Window),
}

impl Pool {
    const fn window(&self) -> Window {
        match *self {
            Self::Max(window) | Self::Average(window) => window,
        }
    }
}

impl nn::Module for Pool {
    fn forward(&self, input: &Tensor) -> Tensor {
        let Window { kernel, stride, padding } = self.window();
        let (kernel, stride, padding) = ([kernel; 2], [stride; 2], [padding; 2]);
        match self {
            Self::Max(_) => input.max_pool2d(kernel, stride, padding, [1, 1], false),
            Self::Average(_) => input.avg_pool2d(kernel, stride, padding, false, true, None),
        }
    }
}

impl Block for Pool {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        input.slide(self.window(), input.channels)
    }

    fn cost(&self, _: FeatureShape) -> Result<Cost> {
        Ok(Cost::ZERO)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let mut attributes = sliding(self.window());
        Ok(match self {
            Self::Max(_) => graph.node("MaxPool", &[input], attributes),
            Self::Average(_) => {
                attributes.push(int("count_include_pad", 1));
                graph.node("AveragePool", &[input], attributes)
            }
        })
    }
}

/// Writes [`global_average`](crate::global_average) into an ONNX graph: `[N, C, H, W]` to `[N, C]`.
pub fn write_global_average(graph: &mut Graph, input: &Value) -> Value {
    let means = graph.node("GlobalAveragePool", &[input], vec![]);
    graph.node("Flatten", &[&means], vec![int("axis", 1)])
}
