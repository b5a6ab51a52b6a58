//! A graph as steps that our kernels take.

use std::collections::HashMap;

use sd_onnx::proto::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorProto, ValueInfoProto,
};
use sd_onnx::read_graph;

use super::convolution::{Convolution, Pool, Window};
use super::maps::Maps;
use super::product::{Packed, Rows, rectify};

/// Numbers that a network may hold at once, its weights and its maps each: 1 GiB.
const MOST: usize = 1 << 28;

/// Steps in order. Values are numbered: the input is 0, each step gives the next one.
#[derive(Debug)]
pub struct Plan {
    /// Sides of the input: channels, rows, columns.
    input: [usize; 3],
    steps: Vec<Step>,
    outputs: Vec<usize>,
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
    Linear(Packed),
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
        let [input] = &graph.input[..] else { return Err("other than one input".to_owned()) };
        let mut values = HashMap::from([(input.name.as_str(), 0)]);
        let mut taken: HashMap<&str, usize> = HashMap::new();
        let names = graph.node.iter().flat_map(|node| &node.input);
        for name in names.chain(graph.output.iter().map(|output| &output.name)) {
            *taken.entry(name).or_default() += 1;
        }
        let (mut steps, mut packed): (Vec<Step>, usize) = (Vec::new(), 0);
        for node in &graph.node {
            let name = format!("{} {}", node.op_type, node.name);
            let unknown = || format!("{name}: no kernel of ours");
            let [output] = &node.output[..] else { return Err(unknown()) };
            let weights = match node.op_type.as_str() {
                "Conv" | "Gemm" => 1,
                _ => node.input.len(),
            };
            let inputs = node.input.iter().take(weights);
            let inputs =
                inputs.map(|name| values.get(name.as_str()).copied()).collect::<Option<Vec<_>>>();
            let inputs = inputs.filter(|inputs| !inputs.is_empty()).ok_or_else(unknown)?;
            let before = steps.len();
            // A ReLU of what the step before gives to nothing else is a part of that step.
            let follows = node.op_type == "Relu"
                && inputs == [before]
                && before > 0
                && taken.get(node.input[0].as_str()) == Some(&1);
            if let Some(step) = steps.last_mut().filter(|_| follows) {
                step.rectified = true;
                values.insert(output, before);
                continue;
            }
            let operation = Operation::of(node, &graph).ok_or_else(unknown)?;
            // One weight may be named, and packed, by many nodes.
            packed = packed.saturating_add(operation.numbers());
            if packed > MOST {
                return Err(format!("{name}: more than {MOST} weights"));
            }
            steps.push(Step { name, operation, inputs, rectified: false, done: Vec::new() });
            values.insert(output, steps.len());
        }
        let outputs = graph.output.iter().map(|output| values.get(output.name.as_str()).copied());
        let outputs: Vec<usize> =
            outputs.collect::<Option<_>>().ok_or("an output that nothing gives")?;
        let mut plan =
            Self { input: sides_of(input).ok_or("an input of unknown sides")?, steps, outputs };
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

    /// The outputs for some maps.
    pub fn run(&self, maps: Maps) -> Result<Vec<Maps>, String> {
        let mut held = maps.values.len();
        let mut values: Vec<Option<Maps>> = vec![Some(maps)];
        for step in &self.steps {
            let inputs = step.inputs.iter().map(|&input| values[input].as_ref());
            let inputs = inputs.collect::<Option<Vec<&Maps>>>().unwrap_or_default();
            let output = step.operation.run(&inputs, step.rectified);
            let unfit = || {
                let sides: Vec<_> = inputs.iter().map(|maps| maps.sides()).collect();
                format!("{}: does not take maps [H, W, C] of {sides:?}", step.name)
            };
            let output = output.ok_or_else(unfit)?;
            held += output.values.len();
            if held > MOST {
                return Err(format!("{}: more than {MOST} numbers in its maps", step.name));
            }
            values.push(Some(output));
            for &done in &step.done {
                held -= values[done].take().map_or(0, |maps| maps.values.len());
            }
        }
        let output = |&output: &usize| values[output].clone().ok_or("a value is gone".to_owned());
        self.outputs.iter().map(output).collect()
    }
}

impl Operation {
    /// What a node does; none without a kernel of ours.
    fn of(node: &NodeProto, graph: &GraphProto) -> Option<Self> {
        let attributes = Attributes(&node.attribute);
        let weight = |place: usize| {
            let name = node.input.get(place)?;
            graph.initializer.iter().find(|weight| weight.name == *name)
        };
        Some(match node.op_type.as_str() {
            "Conv" => {
                let kernel = weight(1)?;
                let values = kernel.to_floats().ok()?;
                let [outputs, each, rows, columns] = sides(kernel)?;
                let window = attributes.window([rows, columns])?;
                let groups = usize::try_from(attributes.whole("group", 1)).ok()?;
                let bias = bias(node, weight(2), outputs)?;
                let convolution =
                    Convolution::new(window, groups, &values, [outputs, each], &bias)?;
                Self::Convolution(Box::new(convolution))
            }
            "Gemm" => {
                let plain = attributes.whole("transA", 0) == 0
                    && attributes.0.iter().all(|a| a.name.starts_with("trans"));
                let matrix = weight(1).filter(|_| plain)?;
                let values = matrix.to_floats().ok()?;
                let turned = attributes.whole("transB", 0) == 1;
                let [rows, columns] = sides(matrix)?;
                let [outputs, depth] = if turned { [rows, columns] } else { [columns, rows] };
                let at = |output: usize, place: usize| {
                    if turned { output * depth + place } else { place * outputs + output }
                };
                let bias = bias(node, weight(2), outputs)?;
                let fill = |output: usize, row: &mut [f32]| {
                    let places = row.iter_mut().enumerate();
                    places.for_each(|(place, number)| *number = values[at(output, place)]);
                };
                Self::Linear(Packed::new(&bias, depth, fill))
            }
            "MaxPool" => Self::Pool(Pool::Max, attributes.pool()?),
            "AveragePool" => {
                let window = attributes.pool()?;
                let inside = window.before == [0; 2] && window.after == [0; 2];
                let counts = inside || attributes.whole("count_include_pad", 0) == 1;
                Self::Pool(Pool::Mean, Some(window).filter(|_| counts)?)
            }
            "GlobalAveragePool" => Self::GlobalAverage,
            "Flatten" if attributes.whole("axis", 1) == 1 => Self::Flatten,
            "Transpose" if attributes.wholes("perm") == [0, 2, 1, 3] => Self::Turn,
            "Relu" => Self::Relu,
            "Sigmoid" => Self::Sigmoid,
            "Add" if node.input.len() == 2 => Self::Add,
            "Mul" if node.input.len() == 2 => Self::Multiply,
            "Mean" => Self::Mean,
            _ => return None,
        })
    }

    /// Numbers of its weights, as they are packed.
    fn numbers(&self) -> usize {
        match self {
            Self::Convolution(convolution) => convolution.numbers(),
            Self::Linear(packed) => packed.numbers(),
            _ => 0,
        }
    }

    fn run(&self, inputs: &[&Maps], rectified: bool) -> Option<Maps> {
        let &first = inputs.first()?;
        let takes_maps = matches!(
            self,
            Self::Convolution(_) | Self::Pool(..) | Self::GlobalAverage | Self::Turn
        );
        if takes_maps && first.flat {
            return None;
        }
        let mut output = match self {
            Self::Convolution(convolution) => return convolution.run(first, rectified),
            Self::Linear(packed) => {
                if !first.flat || first.channels != packed.depth() {
                    return None;
                }
                let mut output = Maps::zeros(first.images, [1, 1, packed.outputs()])?;
                output.flat = true;
                let rows =
                    Rows { values: &first.values, stride: first.channels, count: first.images };
                packed.multiply(rows, rectified, &mut output.values, packed.outputs());
                return Some(output);
            }
            Self::Pool(pool, window) => pool.run(window, first)?,
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
            Self::Add => either(first, inputs.get(1)?, |a, b| a + b)?,
            Self::Multiply => either(first, inputs.get(1)?, |a, b| a * b)?,
            Self::Mean => {
                let mut sum = first.clone();
                for other in &inputs[1..] {
                    sum = sum.with(other, |a, b| a + b)?;
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

fn either(a: &Maps, b: &Maps, of: impl Fn(f32, f32) -> f32) -> Option<Maps> {
    a.clone().with(b, &of).or_else(|| b.clone().with(a, of))
}

/// The sides of images `[N, C, H, W]`, where the file tells them.
fn sides_of(input: &ValueInfoProto) -> Option<[usize; 3]> {
    let dims = &input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim;
    let [_, sides @ ..] = &dims[..] else { return None };
    let side = |dim: &Dimension| usize::try_from(dim.dim_value?).ok();
    sides.iter().map(side).collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// The biases of a node, zeros where it names none.
fn bias(node: &NodeProto, named: Option<&TensorProto>, outputs: usize) -> Option<Vec<f32>> {
    match named {
        Some(tensor) => tensor.to_floats().ok().filter(|bias| bias.len() == outputs),
        // As many as the weights have rows, which the file holds.
        None => (node.input.len() < 3).then(|| vec![0.0; outputs]),
    }
}

/// The sides of a tensor, of which none is empty.
fn sides<const N: usize>(tensor: &TensorProto) -> Option<[usize; N]> {
    let sides = tensor.dims.iter().map(|&side| usize::try_from(side).ok().filter(|&side| side > 0));
    sides.collect::<Option<Vec<_>>>()?.try_into().ok()
}

struct Attributes<'a>(&'a [AttributeProto]);

impl Attributes<'_> {
    fn named(&self, name: &str) -> Option<&AttributeProto> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    fn whole(&self, name: &str, otherwise: i64) -> i64 {
        self.named(name).and_then(|attribute| attribute.i).unwrap_or(otherwise)
    }

    fn wholes(&self, name: &str) -> &[i64] {
        self.named(name).map_or(&[], |attribute| &attribute.ints)
    }

    /// The window of a pool.
    fn pool(&self) -> Option<Window> {
        let &[rows, columns] = self.wholes("kernel_shape") else { return None };
        self.window([usize::try_from(rows).ok()?, usize::try_from(columns).ok()?])
    }

    /// The window with this kernel; none that leaves places out, or rounds up.
    fn window(&self, kernel: [usize; 2]) -> Option<Window> {
        let known = ["kernel_shape", "strides", "pads", "group", "count_include_pad", "dilations"];
        let all_known = self.0.iter().all(|attribute| known.contains(&attribute.name.as_str()));
        let plain = self.wholes("dilations").iter().all(|&dilation| dilation == 1);
        let numbers = |name, otherwise: usize, count: usize| match self.wholes(name) {
            [] => Some(vec![otherwise; count]),
            numbers if numbers.len() == count => {
                numbers.iter().map(|&number| usize::try_from(number).ok()).collect()
            }
            _ => None,
        };
        let (strides, pads) = (numbers("strides", 1, 2)?, numbers("pads", 0, 4)?);
        let window = Window {
            kernel,
            stride: [strides[0], strides[1]],
            before: [pads[0], pads[1]],
            after: [pads[2], pads[3]],
        };
        (all_known && plain && window.is_sound()).then_some(window)
    }
}

#[cfg(test)]
mod tests;
