//! A graph as a sequence of kernel calls.

mod attributes;
mod builder;

use sd_onnx::proto::GraphProto;

use crate::buffer_pool::BufferPool;
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
    /// Channels, rows and columns of the input.
    input: [usize; 3],
    steps: Vec<Step>,
    outputs: Vec<usize>,
    buffers: BufferPool,
    /// Bytes that the packed weights and the activations of a run may take.
    memory_limit: usize,
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
    Pool(Pool, Window),
    GlobalAverage,
    Flatten,
    SwapChannelsAndRows,
    Relu,
    Sigmoid,
    Add,
    Multiply,
    Mean,
}

impl Plan {
    /// Compiles a graph whose nodes are in execution order.
    pub fn new(graph: &GraphProto, memory_limit: usize) -> Result<Self> {
        let mut plan = PlanBuilder::new(graph, memory_limit)?.build()?;
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

    /// A batch of one black image.
    pub fn black_image(&self) -> Result<Tensor> {
        let [channels, height, width] = self.input;
        let too_large = || Error::Input { found: vec![1, channels, height, width] };
        Tensor::zeros(1, [height, width, channels]).ok_or_else(too_large)
    }

    /// Returns the outputs, and the largest number of bytes that all activations took at once.
    pub fn run(&self, input: Tensor) -> Result<(Vec<Tensor>, usize)> {
        let mut bytes = input.bytes();
        let mut peak = bytes;
        let mut values: Vec<Option<Tensor>> = vec![Some(input)];
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs = inputs.collect::<Option<Vec<&Tensor>>>().unwrap_or_default();
            let output = step.operation.run(&inputs, step.relu, &self.buffers);
            let unsupported = || Error::Shape {
                node: step.name.clone(),
                found: inputs.iter().map(|input| input.shape()).collect(),
            };
            let output = output.ok_or_else(unsupported)?;
            bytes += output.bytes();
            peak = peak.max(bytes);
            if bytes > self.memory_limit {
                return Err(Error::Memory { node: step.name.clone(), limit: self.memory_limit });
            }
            values.push(Some(output));
            for &unused in &step.unused_after {
                if let Some(tensor) = values[unused].take() {
                    bytes -= tensor.bytes();
                    self.buffers.recycle(tensor.values);
                }
            }
        }
        let output =
            |&output: &usize| values[output].take().ok_or(Error::Graph("a missing output"));
        Ok((self.outputs.iter().map(output).collect::<Result<_>>()?, peak))
    }
}

impl Operation {
    /// Rows and columns of the output for inputs of these sizes; `None` if unknown.
    fn output_size(&self, inputs: &[Option<[usize; 2]>]) -> Option<[usize; 2]> {
        match self {
            Self::Convolution(convolution) => convolution.window().output_size(inputs[0]?),
            Self::Int8Convolution(convolution) => convolution.window().output_size(inputs[0]?),
            Self::Pool(_, window) => window.output_size(inputs[0]?),
            // Smaller inputs are broadcast.
            Self::Relu | Self::Sigmoid | Self::Add | Self::Multiply | Self::Mean => {
                inputs.iter().copied().flatten().max()
            }
            Self::Linear(_) | Self::GlobalAverage | Self::Flatten | Self::SwapChannelsAndRows => {
                None
            }
        }
    }

    /// Size of the packed weights in memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Convolution(convolution) => convolution.bytes(),
            Self::Int8Convolution(convolution) => convolution.bytes(),
            Self::Linear(matrix) => matrix.bytes(),
            _ => 0,
        }
    }

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
            Self::Pool(pool, window) => pool.run(window, first, buffers)?,
            Self::GlobalAverage => global_average(first),
            Self::Flatten => first.flatten(),
            Self::SwapChannelsAndRows => first.swap_channels_and_rows(),
            Self::Relu => {
                let mut output = first.clone();
                relu(&mut output);
                output
            }
            Self::Sigmoid => sigmoid(first),
            Self::Add => broadcast(first, inputs.get(1)?, |a, b| a + b, buffers)?,
            Self::Multiply => broadcast(first, inputs.get(1)?, |a, b| a * b, buffers)?,
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
