//! A graph as steps that our kernels take.

mod read;

use sd_onnx::read_graph;

use super::bytes::ByteConvolution;
use super::convolution::{Convolution, Matrix, multiply};
use super::lanes::rectify;
use super::maps::Maps;
use super::pool::Pool;
use super::product::Rows;
use super::shelf::Shelf;
use super::window::Window;
use read::Reader;

/// Numbers that a network may hold at once, its weights and, in each thread, its maps: 1 GiB. A step
/// is counted when it is read or done; until then, a weight of few outputs takes up to 16 times its
/// size, and a map as much as [`size`](super::maps::size) allows.
pub const MOST: usize = 1 << 28;

/// Steps in order. Values are numbered: the input is 0, each step gives the next one.
#[derive(Debug)]
pub struct Plan {
    /// Sides of the input: channels, rows, columns.
    input: [usize; 3],
    steps: Vec<Step>,
    outputs: Vec<usize>,
    shelf: Shelf,
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
    /// Of a file.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let graph = read_graph(bytes).map_err(|error| error.to_string())?;
        let mut plan = Reader::new(&graph)?.plan()?;
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
    pub fn image(&self) -> Result<Maps, String> {
        let [channels, height, width] = self.input;
        Maps::zeros(1, [height, width, channels]).ok_or("an image too large".to_owned())
    }

    /// The outputs for some maps, and how many numbers there were at once.
    pub fn run(&self, maps: Maps) -> Result<(Vec<Maps>, usize), String> {
        let mut held = maps.values.len();
        let mut most = held;
        let mut values: Vec<Option<Maps>> = vec![Some(maps)];
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs = inputs.collect::<Option<Vec<&Maps>>>().unwrap_or_default();
            let output = step.operation.run(&inputs, step.rectified, &self.shelf);
            let unfit = || {
                let sides: Vec<_> = inputs.iter().map(|maps| maps.sides()).collect();
                format!("{}: does not take maps [H, W, C] of {sides:?}", step.name)
            };
            let output = output.ok_or_else(unfit)?;
            held += output.values.len();
            most = most.max(held);
            if held > MOST {
                return Err(format!("{}: more than {MOST} numbers in its maps", step.name));
            }
            values.push(Some(output));
            for &done in &step.done {
                if let Some(maps) = values[done].take() {
                    held -= maps.values.len();
                    self.shelf.keep(maps);
                }
            }
        }
        let output = |&output: &usize| values[output].take().ok_or("a value is gone".to_owned());
        Ok((self.outputs.iter().map(output).collect::<Result<_, _>>()?, most))
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

fn either(a: &Maps, b: &Maps, of: impl Fn(f32, f32) -> f32, shelf: &Shelf) -> Option<Maps> {
    a.with(b, &of, shelf).or_else(|| b.with(a, of, shelf))
}

#[cfg(test)]
mod tests;
