//! A graph as a sequence of kernel calls.

mod attributes;
mod builder;

use std::time::Instant;

use sd_onnx::ShapeMap;
use sd_onnx::proto::GraphProto;

use crate::buffer_pool::BufferPool;
use crate::kernel::banded::BandedMatrix;
use crate::kernel::convolution::Convolution;
use crate::kernel::elementwise::{broadcast, mean, relu, sigmoid};
use crate::kernel::gemm::{FloatMatrix, Rows};
use crate::kernel::int8_convolution::Int8Convolution;
use crate::kernel::pool::{Pool, global_average};
use crate::kernel::window::Window;
use crate::tensor::Tensor;
use crate::{Error, Result};
use builder::PlanBuilder;

/// Steps in execution order. Values are numbered: the input is 0, and step `i` computes value `i + 1`.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    outputs: Vec<usize>,
    buffers: BufferPool,
}

#[derive(Debug)]
struct Step {
    /// Operator and name of the node.
    name: String,
    operation: Operation,
    inputs: Vec<usize>,
    /// Whether a ReLU is fused.
    relu: bool,
    /// Values that no later step needs.
    unused_after: Vec<usize>,
}

#[derive(Debug)]
enum Operation {
    Convolution(Box<Convolution>),
    Int8Convolution(Box<Int8Convolution>),
    Linear(FloatMatrix),
    Banded(BandedMatrix),
    Pool(Pool, Window),
    GlobalAverage,
    Flatten,
    /// Vectors as maps of one position.
    Unflatten,
    SwapChannelsAndRows,
    Relu,
    Sigmoid,
    Add,
    Multiply,
    /// Multiplies by a constant.
    Scale(f32),
    Mean,
}

impl Plan {
    /// Compiles a graph whose nodes are in execution order, and whose values have these shapes. The
    /// plan keeps at most `max_spare` bytes of free memory for the next values.
    pub fn new(graph: &GraphProto, shapes: &ShapeMap, max_spare: usize) -> Result<Self> {
        let (steps, outputs) = PlanBuilder::new(graph, shapes)?.build()?;
        let buffers = BufferPool::new(max_spare / size_of::<f32>());
        let mut plan = Self { steps, outputs, buffers };
        plan.find_last_uses();
        Ok(plan)
    }

    /// Fills [`Step::unused_after`].
    fn find_last_uses(&mut self) {
        let mut seen: Vec<bool> = vec![false; self.steps.len() + 1];
        self.outputs.iter().for_each(|&output| seen[output] = true);
        for (index, step) in self.steps.iter_mut().enumerate().rev() {
            // A step's own output is unused if no step needs it.
            for &value in step.inputs.iter().chain([&(index + 1)]) {
                if !seen[value] {
                    seen[value] = true;
                    step.unused_after.push(value);
                }
            }
        }
    }

    /// Returns the outputs. Recycled buffers of at most `max_excess` bytes more than their values
    /// need are in use at once.
    pub fn run(
        &self,
        input: Tensor,
        max_excess: usize,
        deadline: Option<Instant>,
    ) -> Result<Vec<Tensor>> {
        let mut excess = 0;
        let mut values: Vec<Option<Tensor>> = vec![Some(input)];
        for step in &self.steps {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Error::Deadline { node: step.name.clone() });
            }
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs = inputs.collect::<Option<Vec<&Tensor>>>().unwrap_or_default();
            let output = step.operation.run(&inputs, step.relu, &self.buffers);
            let unsupported = || Error::Shape {
                node: step.name.clone(),
                found: inputs.iter().map(|input| input.batch_shape()).collect(),
            };
            let mut output = output.ok_or_else(unsupported)?;
            if excess + output.excess() > max_excess {
                output.values.shrink_to_fit();
            }
            excess += output.excess();
            values.push(Some(output));
            for &unused in &step.unused_after {
                if let Some(tensor) = values[unused].take() {
                    excess = excess.saturating_sub(tensor.excess());
                    self.buffers.recycle(tensor.values);
                }
            }
        }
        let output =
            |&output: &usize| values[output].take().ok_or(Error::Graph("a missing output"));
        self.outputs.iter().map(output).collect()
    }
}

impl Operation {
    /// `None` if the shapes of the inputs are unsupported.
    fn run(&self, inputs: &[&Tensor], fused_relu: bool, buffers: &BufferPool) -> Option<Tensor> {
        let &first = inputs.first()?;
        if self.needs_feature_map() && first.is_vector {
            return None;
        }
        let mut output = match self {
            Self::Convolution(convolution) => return convolution.run(first, fused_relu, buffers),
            Self::Int8Convolution(convolution) => {
                return convolution.run(first, fused_relu, buffers);
            }
            Self::Linear(matrix) => return run_linear(matrix, first, fused_relu),
            Self::Banded(matrix) => matrix.run(first, buffers)?,
            Self::Pool(pool, window) => pool.run(window, first, buffers)?,
            Self::GlobalAverage => global_average(first),
            Self::Flatten => first.flatten(),
            Self::Unflatten => first.unflatten()?,
            Self::SwapChannelsAndRows => first.swap_channels_and_rows(),
            Self::Relu => {
                let mut output = first.clone();
                relu(&mut output);
                output
            }
            Self::Sigmoid => sigmoid(first),
            Self::Add => broadcast(first, inputs.get(1)?, |a, b| a + b, buffers)?,
            Self::Multiply => broadcast(first, inputs.get(1)?, |a, b| a * b, buffers)?,
            Self::Scale(factor) => {
                let mut output = first.clone();
                output.values.iter_mut().for_each(|value| *value *= factor);
                output
            }
            Self::Mean => mean(inputs, buffers)?,
        };
        if fused_relu {
            relu(&mut output);
        }
        Some(output)
    }

    fn needs_feature_map(&self) -> bool {
        matches!(
            self,
            Self::Convolution(_)
                | Self::Int8Convolution(_)
                | Self::Pool(..)
                | Self::GlobalAverage
                | Self::SwapChannelsAndRows
        )
    }
}

fn run_linear(matrix: &FloatMatrix, input: &Tensor, relu: bool) -> Option<Tensor> {
    let depth = matrix.depth();
    if !input.is_vector || input.channels != depth {
        return None;
    }
    let mut output = Tensor::zeros(input.images, [1, 1, matrix.outputs()])?;
    output.is_vector = true;
    let rows = Rows {
        values: &input.values,
        row_offsets: &(0..input.images).map(|image| image * depth).collect::<Vec<_>>(),
        segment_offsets: &[0],
        segment_len: depth,
    };
    matrix.multiply_into(&rows, relu, &mut output.values, matrix.outputs());
    Some(output)
}

#[cfg(test)]
mod tests;
