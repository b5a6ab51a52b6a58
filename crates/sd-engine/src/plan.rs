//! A graph as steps that our kernels take.

mod builder;

use sd_onnx::proto::GraphProto;

use crate::buffer_pool::Shelf;
use crate::kernel::convolution::{Convolution, Matrix, multiply};
use crate::kernel::gemm::Rows;
use crate::kernel::int8_convolution::ByteConvolution;
use crate::kernel::pool::Pool;
use crate::kernel::window::Window;
use crate::simd::rectify;
use crate::tensor::Maps;
use crate::{Error, Result};
use builder::Reader;

/// Steps in order. Values are numbered: the input is 0, each step gives the next one.
#[derive(Debug)]
pub struct Plan {
    /// Sides of the input: channels, rows, columns.
    input: [usize; 3],
    steps: Vec<Step>,
    outputs: Vec<usize>,
    shelf: Shelf,
    /// Bytes that the packed weights and the activations of a run may take.
    memory_limit: usize,
}

#[derive(Debug)]
struct Step {
    /// The operator and the node's name.
    name: String,
    operation: Operation,
    inputs: Vec<usize>,
    /// Whether a ReLU follows.
    rectified: bool,
    /// Values that no later step takes.
    done: Vec<usize>,
}

#[derive(Debug)]
enum Operation {
    Convolution(Box<Convolution>),
    Bytes(Box<ByteConvolution>),
    Linear(Matrix),
    Pool(Pool, Window),
    GlobalAverage,
    Flatten,
    /// Channels and rows exchanged.
    Turn,
    Relu,
    Sigmoid,
    Add,
    Multiply,
    Mean,
}

impl Plan {
    /// Compiles a graph whose nodes are in execution order.
    pub fn new(graph: &GraphProto, memory_limit: usize) -> Result<Self> {
        let mut plan = Reader::new(graph, memory_limit)?.plan()?;
        plan.find_done();
        Ok(plan)
    }

    /// Notes with each value's last step that it is done.
    fn find_done(&mut self) {
        let mut seen: Vec<bool> = vec![false; self.steps.len() + 1];
        self.outputs.iter().for_each(|&output| seen[output] = true);
        for (index, step) in self.steps.iter_mut().enumerate().rev() {
            // What it gives itself is done at once if nothing takes it.
            for &value in step.inputs.iter().chain([&(index + 1)]) {
                if !seen[value] {
                    seen[value] = true;
                    step.done.push(value);
                }
            }
        }
    }

    /// A black image.
    pub fn black_image(&self) -> Result<Maps> {
        let [channels, height, width] = self.input;
        let too_large = || Error::Input { found: vec![1, channels, height, width] };
        Maps::zeros(1, [height, width, channels]).ok_or_else(too_large)
    }

    /// Returns the outputs, and the largest number of bytes that all activations took at once.
    pub fn run(&self, maps: Maps) -> Result<(Vec<Maps>, usize)> {
        let mut held = bytes(&maps);
        let mut peak = held;
        let mut values: Vec<Option<Maps>> = vec![Some(maps)];
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs = inputs.collect::<Option<Vec<&Maps>>>().unwrap_or_default();
            let output = step.operation.run(&inputs, step.rectified, &self.shelf);
            let unfit = || Error::Shape {
                node: step.name.clone(),
                found: inputs.iter().map(|maps| maps.sides()).collect(),
            };
            let output = output.ok_or_else(unfit)?;
            held += bytes(&output);
            peak = peak.max(held);
            if held > self.memory_limit {
                return Err(Error::Memory { node: step.name.clone(), limit: self.memory_limit });
            }
            values.push(Some(output));
            for &done in &step.done {
                if let Some(maps) = values[done].take() {
                    held -= bytes(&maps);
                    self.shelf.keep(maps);
                }
            }
        }
        let output =
            |&output: &usize| values[output].take().ok_or(Error::Graph("a missing output"));
        Ok((self.outputs.iter().map(output).collect::<Result<_>>()?, peak))
    }
}

impl Operation {
    /// Rows and columns of what it gives for such inputs, where they are known.
    fn places(&self, inputs: &[Option<[usize; 2]>]) -> Option<[usize; 2]> {
        match self {
            Self::Convolution(convolution) => convolution.window().places(inputs[0]?),
            Self::Bytes(convolution) => convolution.window().places(inputs[0]?),
            Self::Pool(_, window) => window.places(inputs[0]?),
            // The larger one's.
            Self::Relu | Self::Sigmoid | Self::Add | Self::Multiply | Self::Mean => {
                inputs.iter().copied().flatten().max()
            }
            Self::Linear(_) | Self::GlobalAverage | Self::Flatten | Self::Turn => None,
        }
    }

    /// Numbers of its weights, as they are packed.
    fn numbers(&self) -> usize {
        match self {
            Self::Convolution(convolution) => convolution.numbers(),
            Self::Bytes(convolution) => convolution.numbers(),
            Self::Linear(matrix) => matrix.numbers(),
            _ => 0,
        }
    }

    fn run(&self, inputs: &[&Maps], rectified: bool, shelf: &Shelf) -> Option<Maps> {
        let &first = inputs.first()?;
        let takes_maps = matches!(
            self,
            Self::Convolution(_)
                | Self::Bytes(_)
                | Self::Pool(..)
                | Self::GlobalAverage
                | Self::Turn
        );
        if takes_maps && first.flat {
            return None;
        }
        let mut output = match self {
            Self::Convolution(convolution) => return convolution.run(first, rectified, shelf),
            Self::Bytes(convolution) => return convolution.run(first, rectified, shelf),
            Self::Linear(matrix) => {
                if !first.flat || first.channels != matrix.depth() {
                    return None;
                }
                let mut output = Maps::zeros(first.images, [1, 1, matrix.outputs()])?;
                output.flat = true;
                let starts: Vec<usize> =
                    (0..first.images).map(|row| row * matrix.depth()).collect();
                let (values, length) = (&first.values, matrix.depth());
                let rows = Rows { values, starts: &starts, pieces: &[0], length };
                multiply(matrix, &rows, rectified, &mut output.values, matrix.outputs());
                return Some(output);
            }
            Self::Pool(pool, window) => pool.run(window, first, shelf)?,
            Self::GlobalAverage => first.averaged(),
            Self::Flatten => first.flattened(),
            Self::Turn => first.turned(),
            Self::Relu => {
                let mut output = first.clone();
                output.values.iter_mut().for_each(rectify);
                output
            }
            Self::Sigmoid => {
                let mut output = first.clone();
                output.values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
                output
            }
            // Which of the two is the larger one is not said.
            Self::Add => either(first, inputs.get(1)?, |a, b| a + b, shelf)?,
            Self::Multiply => either(first, inputs.get(1)?, |a, b| a * b, shelf)?,
            Self::Mean => {
                let mut sum = first.clone();
                for other in &inputs[1..] {
                    sum = sum.with(other, |a, b| a + b, shelf)?;
                }
                let share = inputs.len() as f32;
                sum.values.iter_mut().for_each(|value| *value /= share);
                sum
            }
        };
        if rectified {
            output.values.iter_mut().for_each(rectify);
        }
        Some(output)
    }
}

/// Size of the values in memory.
fn bytes(maps: &Maps) -> usize {
    size_of_val(&maps.values[..])
}

fn either(a: &Maps, b: &Maps, of: impl Fn(f32, f32) -> f32, shelf: &Shelf) -> Option<Maps> {
    a.with(b, &of, shelf).or_else(|| b.with(a, of, shelf))
}

#[cfg(test)]
mod tests;
