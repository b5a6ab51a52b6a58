//! What a file's nodes mean to our kernels.

use std::collections::{HashMap, HashSet};

use sd_onnx::proto::{
    AttributeProto, Dimension, ElementType, GraphProto, NodeProto, TensorProto, ValueInfoProto,
};

use super::{Operation, Plan, Step};
use crate::buffer_pool::Shelf;
use crate::kernel::convolution::Convolution;
use crate::kernel::gemm::Packed;
use crate::kernel::int8_convolution::{ByteConvolution, Rounding};
use crate::kernel::pool::Pool;
use crate::kernel::window::Window;
use crate::{Error, Result};

/// Reads a graph node by node.
pub struct Reader<'a> {
    graph: &'a GraphProto,
    /// How often each value is taken.
    taken: HashMap<&'a str, usize>,
    /// The number of each value that a step gives.
    values: HashMap<&'a str, usize>,
    /// Values in bytes: which value they are of, and how it is rounded. The convolution that takes
    /// them rounds it itself.
    rounded: HashMap<&'a str, (usize, Rounding)>,
    /// Weights in bytes and their scales, by the name of the floats that they become.
    dequantised: HashMap<&'a str, [&'a TensorProto; 2]>,
    steps: Vec<Step>,
    /// Rows and columns of each value's maps, where they are known.
    places: Vec<Option<[usize; 2]>>,
    /// Bytes of the weights packed so far.
    packed: usize,
    memory_limit: usize,
}

/// Sides and numbers of a weight.
struct Weight {
    sides: Vec<usize>,
    numbers: Vec<f32>,
}

impl<'a> Reader<'a> {
    /// Of a graph with one input.
    pub fn new(graph: &'a GraphProto, memory_limit: usize) -> Result<Self> {
        let [input] = &graph.input[..] else {
            return Err(Error::Graph("not exactly one input"));
        };
        let mut taken: HashMap<&str, usize> = HashMap::new();
        let names = graph.node.iter().flat_map(|node| &node.input);
        for name in names.chain(graph.output.iter().map(|output| &output.name)) {
            *taken.entry(name).or_default() += 1;
        }
        Ok(Self {
            graph,
            taken,
            values: HashMap::from([(input.name.as_str(), 0)]),
            rounded: HashMap::new(),
            dequantised: HashMap::new(),
            steps: Vec::new(),
            places: vec![sides_of(input).map(|[_, height, width]| [height, width])],
            packed: 0,
            memory_limit,
        })
    }

    /// All nodes as steps.
    pub fn plan(mut self) -> Result<Plan> {
        let graph = self.graph;
        let mut nodes = graph.node.iter();
        while let Some(node) = nodes.next() {
            let name = format!("{} {}", node.op_type, node.name);
            let read = match node.op_type.as_str() {
                "QuantizeLinear" => self.round(node),
                "DequantizeLinear" => self.dequantise(node),
                "ConvInteger" => {
                    let read = self.bytes(node, nodes.as_slice(), &name);
                    // What makes floats of its sums is a part of it.
                    nodes.by_ref().take(SCALED.len()).for_each(drop);
                    read
                }
                "Relu" if self.follows(node) => self.rectify(node),
                _ => self.step(node, &name),
            };
            if read.is_none() {
                return Err(Error::Unsupported { node: name });
            }
            if self.packed > self.memory_limit {
                return Err(Error::Memory { node: name, limit: self.memory_limit });
            }
        }
        let output = |output: &ValueInfoProto| self.values.get(output.name.as_str()).copied();
        let outputs = graph.output.iter().map(output).collect::<Option<Vec<_>>>();
        let outputs = outputs.ok_or(Error::Graph("an output that no node computes"))?;
        if outputs.iter().collect::<HashSet<_>>().len() < outputs.len() {
            return Err(Error::Graph("the same value as two outputs"));
        }
        Ok(Plan {
            input: sides_of(&graph.input[0]).ok_or(Error::Graph("an input of unknown shape"))?,
            outputs,
            steps: self.steps,
            shelf: Shelf::default(),
            memory_limit: self.memory_limit,
        })
    }

    /// The value that a node gives, if it gives one alone.
    fn output(node: &'a NodeProto) -> Option<&'a str> {
        let [output] = &node.output[..] else { return None };
        Some(output)
    }

    fn push(&mut self, output: &'a str, name: &str, operation: Operation, inputs: Vec<usize>) {
        // One weight may be named, and packed, by many nodes.
        self.packed =
            self.packed.saturating_add(operation.numbers().saturating_mul(size_of::<f32>()));
        let of: Vec<_> = inputs.iter().map(|&input| self.places[input]).collect();
        self.places.push(operation.places(&of));
        let (name, done) = (name.to_owned(), Vec::new());
        self.steps.push(Step { name, operation, inputs, rectified: false, done });
        self.values.insert(output, self.steps.len());
    }

    /// A node as a step of its own.
    fn step(&mut self, node: &'a NodeProto, name: &str) -> Option<()> {
        let values = match node.op_type.as_str() {
            "Conv" | "Gemm" => 1,
            _ => node.input.len(),
        };
        let inputs = node.input.iter().take(values);
        let inputs: Vec<usize> =
            inputs.map(|name| self.values.get(name.as_str()).copied()).collect::<Option<_>>()?;
        if inputs.is_empty() {
            return None;
        }
        let operation = self.operation(node, inputs[0])?;
        self.push(Self::output(node)?, name, operation, inputs);
        Some(())
    }

    /// Whether a node takes what the last step gives to nothing else.
    fn follows(&self, node: &NodeProto) -> bool {
        let [input] = &node.input[..] else { return false };
        let last = self.steps.len();
        last > 0
            && self.values.get(input.as_str()) == Some(&last)
            && self.taken.get(input.as_str()) == Some(&1)
    }

    /// A ReLU of what the last step gives to nothing else is a part of that step.
    fn rectify(&mut self, node: &'a NodeProto) -> Option<()> {
        self.steps.last_mut()?.rectified = true;
        self.values.insert(Self::output(node)?, self.steps.len());
        Some(())
    }

    /// `QuantizeLinear` of a value, with one scale and one byte for 0.
    fn round(&mut self, node: &'a NodeProto) -> Option<()> {
        let [value, scale, zero] = &node.input[..] else { return None };
        let value = *self.values.get(value.as_str())?;
        let &[scale] = &self.initializer(scale)?.to_floats().ok()?[..] else { return None };
        let &[zero] = self.initializer(zero)?.to_bytes(ElementType::Uint8).ok()? else {
            return None;
        };
        self.rounded.insert(Self::output(node)?, (value, Rounding { scale, zero }));
        Some(())
    }

    /// `DequantizeLinear` of a weight, with a scale for each output, around 0.
    fn dequantise(&mut self, node: &'a NodeProto) -> Option<()> {
        let [bytes, scales] = &node.input[..] else { return None };
        let weight = [self.initializer(bytes)?, self.initializer(scales)?];
        if Attributes(&node.attribute).whole("axis", 1) != 0 {
            return None;
        }
        self.dequantised.insert(Self::output(node)?, weight);
        Some(())
    }

    /// `ConvInteger`, and the nodes after it, which scale its sums and add to them.
    fn bytes(&mut self, node: &'a NodeProto, after: &'a [NodeProto], name: &str) -> Option<()> {
        let [input, kernel, zero] = &node.input[..] else { return None };
        let &(value, rounding) = self.rounded.get(input.as_str())?;
        let zero = self.initializer(zero)?.to_bytes(ElementType::Uint8).ok()?;
        let kernel = self.initializer(kernel)?;
        let &[outputs, inputs, rows, columns] = &sides(&kernel.dims)?[..] else { return None };
        let attributes = Attributes(&node.attribute);
        if zero != [rounding.zero] || attributes.whole("group", 1) != 1 {
            return None;
        }
        let mut last = node;
        let mut constants = Vec::new();
        for (operator, node) in SCALED.into_iter().zip(after) {
            let takes_last = node.input.first() == last.output.first();
            let alone = self.taken.get(Self::output(last)?) == Some(&1);
            if node.op_type != operator || !takes_last || !alone {
                return None;
            }
            match &node.input[1..] {
                [] if Attributes(&node.attribute).whole("to", 0) == ElementType::Float as i64 => {}
                [constant] => constants.push(self.initializer(constant)?),
                _ => return None,
            }
            last = node;
        }
        let [factor, shift] = &constants[..] else { return None };
        // One number for each channel.
        let by_channel = |tensor: &TensorProto| {
            let fits = tensor.dims == [1, outputs as i64, 1, 1];
            tensor.to_floats().ok().filter(|_| fits)
        };
        let kernel = kernel.to_bytes(ElementType::Int8).ok()?;
        let weights: Vec<i8> = kernel.iter().map(|&byte| byte as i8).collect();
        let convolution = ByteConvolution::new(
            attributes.window([rows, columns])?,
            rounding,
            &weights,
            [outputs, inputs],
            [&by_channel(factor)?, &by_channel(shift)?],
        )?;
        self.push(Self::output(last)?, name, Operation::Bytes(Box::new(convolution)), vec![value]);
        Some(())
    }

    fn initializer(&self, name: &str) -> Option<&'a TensorProto> {
        self.graph.initializer.iter().find(|weight| weight.name == name)
    }

    /// A weight in floats.
    fn weight(&self, name: &str) -> Option<Weight> {
        if let Some([bytes, scales]) = self.dequantised.get(name) {
            let (sides, scales) = (sides(&bytes.dims)?, scales.to_floats().ok()?);
            let bytes = bytes.to_bytes(ElementType::Int8).ok()?;
            let each = bytes.len() / sides.first().filter(|&&side| side == scales.len())?;
            let number = |(at, &byte): (usize, &u8)| f32::from(byte as i8) * scales[at / each];
            return Some(Weight { sides, numbers: bytes.iter().enumerate().map(number).collect() });
        }
        let tensor = self.initializer(name)?;
        Some(Weight { sides: sides(&tensor.dims)?, numbers: tensor.to_floats().ok()? })
    }

    /// What a node does; none without a kernel of ours.
    fn operation(&self, node: &NodeProto, input: usize) -> Option<Operation> {
        let attributes = Attributes(&node.attribute);
        Some(match node.op_type.as_str() {
            "Conv" => {
                let Weight { sides, numbers } = self.weight(node.input.get(1)?)?;
                let &[outputs, each, rows, columns] = &sides[..] else { return None };
                let window = attributes.window([rows, columns])?;
                let groups = usize::try_from(attributes.whole("group", 1)).ok()?;
                let bias = self.bias(node, outputs)?;
                let places = self.places[input].and_then(|places| window.places(places));
                let sides = [outputs, each];
                let convolution = Convolution::new(window, groups, &numbers, sides, &bias, places)?;
                Operation::Convolution(Box::new(convolution))
            }
            "Gemm" => {
                let plain = attributes.whole("transA", 0) == 0
                    && attributes.0.iter().all(|a| a.name.starts_with("trans"));
                let Weight { sides, numbers } = self.weight(node.input.get(1)?)?;
                let &[rows, columns] = &sides[..] else { return None };
                let turned = attributes.whole("transB", 0) == 1;
                let [outputs, depth] = if turned { [rows, columns] } else { [columns, rows] };
                let at = |output: usize, place: usize| {
                    if turned { output * depth + place } else { place * outputs + output }
                };
                let bias = self.bias(node, outputs).filter(|_| plain)?;
                let fill = |output: usize, row: &mut [f32]| {
                    let places = row.iter_mut().enumerate();
                    places.for_each(|(place, number)| *number = numbers[at(output, place)]);
                };
                Operation::Linear(Packed::new(&bias, depth, fill))
            }
            "MaxPool" => Operation::Pool(Pool::Max, attributes.pool()?),
            "AveragePool" => {
                let window = attributes.pool()?;
                let inside = window.before == [0; 2] && window.after == [0; 2];
                let counts = inside || attributes.whole("count_include_pad", 0) == 1;
                Operation::Pool(Pool::Mean, Some(window).filter(|_| counts)?)
            }
            "GlobalAveragePool" => Operation::GlobalAverage,
            "Flatten" if attributes.whole("axis", 1) == 1 => Operation::Flatten,
            "Transpose" if attributes.wholes("perm") == [0, 2, 1, 3] => Operation::Turn,
            "Relu" => Operation::Relu,
            "Sigmoid" => Operation::Sigmoid,
            "Add" if node.input.len() == 2 => Operation::Add,
            "Mul" if node.input.len() == 2 => Operation::Multiply,
            "Mean" => Operation::Mean,
            _ => return None,
        })
    }

    /// The biases of a node, zeros where it names none.
    fn bias(&self, node: &NodeProto, outputs: usize) -> Option<Vec<f32>> {
        match node.input.get(2) {
            Some(name) => {
                let Weight { numbers, .. } = self.weight(name)?;
                (numbers.len() == outputs).then_some(numbers)
            }
            // As many as the weights have rows, which the file holds.
            None => Some(vec![0.0; outputs]),
        }
    }
}

/// What makes floats of a convolution's sums: of each channel, times one number plus another.
const SCALED: [&str; 3] = ["Cast", "Mul", "Add"];

/// The sides of images `[N, C, H, W]`, where the file tells them.
fn sides_of(input: &ValueInfoProto) -> Option<[usize; 3]> {
    let dims = &input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?.dim;
    let [_, sides @ ..] = &dims[..] else { return None };
    let side = |dim: &Dimension| usize::try_from(dim.dim_value?).ok();
    sides.iter().map(side).collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Sides of a tensor, of which none is empty.
fn sides(dims: &[i64]) -> Option<Vec<usize>> {
    dims.iter().map(|&side| usize::try_from(side).ok().filter(|&side| side > 0)).collect()
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
