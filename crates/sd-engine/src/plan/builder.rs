//! Compilation of a graph's nodes to steps.

use std::collections::{HashMap, HashSet};

use sd_onnx::ShapeMap;
use sd_onnx::proto::{ElementType, GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::attributes::Attributes;
use super::{Operation, Step};
use crate::kernel::banded::BandedMatrix;
use crate::kernel::convolution::Convolution;
use crate::kernel::gemm::PackedMatrix;
use crate::kernel::int8_convolution::{Int8Convolution, Quantization};
use crate::kernel::pool::Pool;
use crate::tensor::image_len;
use crate::{Error, Result};

/// The nodes after a `ConvInteger`, which scale its sums back to floats and are fused with it: a
/// factor and an offset for each channel.
const DEQUANTIZATION: [&str; 3] = ["Cast", "Mul", "Add"];

/// Compiles a graph node by node.
pub struct PlanBuilder<'a> {
    graph: &'a GraphProto,
    /// Number of uses of each value.
    uses: HashMap<&'a str, usize>,
    /// Number of each value that a step computes.
    values: HashMap<&'a str, usize>,
    /// Quantised values, by the number of the original. The convolution that takes one quantises it.
    quantized: HashMap<&'a str, (usize, Quantization)>,
    /// 8-bit weights and their scales, by the name of the dequantised weights.
    dequantized: HashMap<&'a str, [&'a TensorProto; 2]>,
    weights: HashMap<&'a str, &'a TensorProto>,
    /// Shapes of all values, for one image.
    shapes: &'a ShapeMap<'a>,
    steps: Vec<Step>,
}

struct Weight {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl<'a> PlanBuilder<'a> {
    /// Starts with a graph of one input.
    pub fn new(graph: &'a GraphProto, shapes: &'a ShapeMap<'a>) -> Result<Self> {
        let [input] = &graph.input[..] else {
            return Err(Error::Graph("not exactly one input"));
        };
        let mut uses: HashMap<&str, usize> = HashMap::new();
        let names = graph.node.iter().flat_map(|node| &node.input);
        for name in names.chain(graph.output.iter().map(|output| &output.name)) {
            *uses.entry(name).or_default() += 1;
        }
        Ok(Self {
            graph,
            uses,
            values: HashMap::from([(input.name.as_str(), 0)]),
            quantized: HashMap::new(),
            dequantized: HashMap::new(),
            weights: graph.initializer.iter().map(|weight| (&*weight.name, weight)).collect(),
            shapes,
            steps: Vec::new(),
        })
    }

    /// Compiles all nodes, and returns the steps and the numbers of the outputs.
    pub fn build(mut self) -> Result<(Vec<Step>, Vec<usize>)> {
        let graph = self.graph;
        let mut nodes = graph.node.iter();
        while let Some(node) = nodes.next() {
            let name = format!("{} {}", node.op_type, node.name);
            if !self.fits(node) {
                let found = node.input.iter().map(|input| self.shape(input).to_vec()).collect();
                return Err(Error::Shape { node: name, found });
            }
            let added = match node.op_type.as_str() {
                "QuantizeLinear" => self.add_quantization(node),
                "DequantizeLinear" => self.add_dequantized_weight(node),
                "ConvInteger" => {
                    let added = self.add_int8_convolution(node, nodes.as_slice(), &name);
                    nodes.by_ref().take(DEQUANTIZATION.len()).for_each(drop);
                    added
                }
                "Relu" if self.is_fusible(node) => self.fuse_relu(node),
                _ => self.add_step(node, &name),
            };
            if added.is_none() {
                return Err(Error::Unsupported { node: name });
            }
        }
        let output = |output: &ValueInfoProto| self.values.get(output.name.as_str()).copied();
        let outputs = graph.output.iter().map(output).collect::<Option<Vec<_>>>();
        let outputs = outputs.ok_or(Error::Graph("an output that no node computes"))?;
        if outputs.iter().collect::<HashSet<_>>().len() < outputs.len() {
            return Err(Error::Graph("the same value as two outputs"));
        }
        Ok((self.steps, outputs))
    }

    /// The shape of a value or weight, empty if it is omitted.
    fn shape(&self, name: &str) -> &'a [usize] {
        self.shapes.get(name).map_or(&[], |shape| &shape[..])
    }

    /// Whether the kernels accept the shapes of a node: feature maps `[1, C, H, W]`, vectors `[1, C]`,
    /// and an input of element-wise operators to which the others are broadcast.
    fn fits(&self, node: &NodeProto) -> bool {
        let inputs: Vec<&[usize]> = node.input.iter().map(|input| self.shape(input)).collect();
        let output = node.output.first().map_or(&[][..], |output| self.shape(output));
        let is_map = |shape: &[usize]| match *shape {
            [1, channels, height, width] => image_len([height, width, channels]).is_some(),
            _ => false,
        };
        let is_value = |shape: &[usize]| {
            is_map(shape)
                || matches!(*shape, [1, channels] if image_len([1, 1, channels]).is_some())
        };
        match (node.op_type.as_str(), &inputs[..]) {
            (
                "Conv" | "ConvInteger" | "MaxPool" | "AveragePool" | "GlobalAveragePool",
                [input, ..],
            ) => is_map(input) && is_map(output),
            ("Flatten", [input]) => is_value(input) && is_value(output),
            // Those of a weight are left to `add_step`: `Mul` by a scalar is computed, others are refused.
            ("Add" | "Mul" | "Mean", [first, others @ ..])
                if node.input.iter().all(|name| !self.weights.contains_key(name.as_str())) =>
            {
                let is_target = |shape: &&[usize]| *shape == output;
                let is_commutative = node.op_type != "Mean" && others.iter().any(is_target);
                others.iter().all(|other| other.len() == first.len())
                    && (is_target(first) || is_commutative)
                    && is_value(output)
            }
            _ => true,
        }
    }

    fn push(&mut self, output: &'a str, name: &str, operation: Operation, inputs: Vec<usize>) {
        let (name, unused_after) = (name.to_owned(), Vec::new());
        self.steps.push(Step { name, operation, inputs, relu: false, unused_after });
        self.values.insert(output, self.steps.len());
    }

    /// Adds a node as a step of its own.
    fn add_step(&mut self, node: &'a NodeProto, name: &str) -> Option<()> {
        let activations = match node.op_type.as_str() {
            "Conv" | "Gemm" | "MatMul" | "Reshape" => 1,
            "Mul" if self.factor(node).is_some() => 1,
            _ => node.input.len(),
        };
        let inputs = node.input.iter().take(activations);
        let inputs: Vec<usize> =
            inputs.map(|name| self.values.get(name.as_str()).copied()).collect::<Option<_>>()?;
        let operation = self.operation(node)?;
        self.push(only_output(node)?, name, operation, inputs);
        Some(())
    }

    /// Whether a node is the only use of the last step's output.
    fn is_fusible(&self, node: &NodeProto) -> bool {
        let [input] = &node.input[..] else { return false };
        let last = self.steps.len();
        last > 0
            && self.values.get(input.as_str()) == Some(&last)
            && self.uses.get(input.as_str()) == Some(&1)
    }

    /// Fuses a ReLU with the last step.
    fn fuse_relu(&mut self, node: &'a NodeProto) -> Option<()> {
        self.steps.last_mut()?.relu = true;
        self.values.insert(only_output(node)?, self.steps.len());
        Some(())
    }

    /// `QuantizeLinear` of an activation, with one scale and one zero point.
    fn add_quantization(&mut self, node: &'a NodeProto) -> Option<()> {
        let [value, scale, zero_point] = &node.input[..] else { return None };
        let value = *self.values.get(value.as_str())?;
        let &[scale] = &self.initializer(scale)?.to_floats().ok()?[..] else { return None };
        let &[zero_point] = self.initializer(zero_point)?.to_bytes(ElementType::Uint8).ok()? else {
            return None;
        };
        self.quantized.insert(only_output(node)?, (value, Quantization { scale, zero_point }));
        Some(())
    }

    /// `DequantizeLinear` of a weight, with a scale for each output and no zero point.
    fn add_dequantized_weight(&mut self, node: &'a NodeProto) -> Option<()> {
        let [bytes, scales] = &node.input[..] else { return None };
        let weight = [self.initializer(bytes)?, self.initializer(scales)?];
        if Attributes(&node.attribute).int("axis", 1) != 0 {
            return None;
        }
        self.dequantized.insert(only_output(node)?, weight);
        Some(())
    }

    /// `ConvInteger`, fused with the [`DEQUANTIZATION`] that follows it.
    fn add_int8_convolution(
        &mut self,
        node: &'a NodeProto,
        following: &'a [NodeProto],
        name: &str,
    ) -> Option<()> {
        let [input, kernel, zero_point] = &node.input[..] else { return None };
        let &(value, quantization) = self.quantized.get(input.as_str())?;
        let zero_point = self.initializer(zero_point)?.to_bytes(ElementType::Uint8).ok()?;
        let kernel = self.initializer(kernel)?;
        let &[outputs, inputs, rows, columns] = &nonzero_shape(&kernel.dims)?[..] else {
            return None;
        };
        let attributes = Attributes(&node.attribute);
        if zero_point != [quantization.zero_point] || attributes.int("group", 1) != 1 {
            return None;
        }
        let (last, factor, offset) = self.dequantization(node, following)?;
        let per_channel = |tensor: &TensorProto| {
            let fits = tensor.dims == [1, outputs as i64, 1, 1];
            tensor.to_floats().ok().filter(|_| fits)
        };
        let kernel = kernel.to_bytes(ElementType::Int8).ok()?;
        let weights: Vec<i8> = kernel.iter().map(|&byte| byte as i8).collect();
        let convolution = Int8Convolution::new(
            attributes.window([rows, columns])?,
            quantization,
            &weights,
            [outputs, inputs],
            [&per_channel(factor)?, &per_channel(offset)?],
        )?;
        let operation = Operation::Int8Convolution(Box::new(convolution));
        self.push(only_output(last)?, name, operation, vec![value]);
        Some(())
    }

    /// The last node of a [`DEQUANTIZATION`], its factor and its offset.
    fn dequantization(
        &self,
        convolution: &'a NodeProto,
        following: &'a [NodeProto],
    ) -> Option<(&'a NodeProto, &'a TensorProto, &'a TensorProto)> {
        let (mut last, mut constants) = (convolution, Vec::new());
        for (operator, node) in DEQUANTIZATION.into_iter().zip(following) {
            let follows = node.input.first() == last.output.first();
            let is_only_use = self.uses.get(only_output(last)?) == Some(&1);
            if node.op_type != operator || !follows || !is_only_use {
                return None;
            }
            match &node.input[1..] {
                [] if Attributes(&node.attribute).int("to", 0) == ElementType::Float as i64 => {}
                [constant] => constants.push(self.initializer(constant)?),
                _ => return None,
            }
            last = node;
        }
        let [factor, offset] = constants[..] else { return None };
        Some((last, factor, offset))
    }

    fn initializer(&self, name: &str) -> Option<&'a TensorProto> {
        self.weights.get(name).copied()
    }

    /// A weight in floats, dequantised if need be.
    fn weight(&self, name: &str) -> Option<Weight> {
        if let Some([bytes, scales]) = self.dequantized.get(name) {
            let (shape, scales) = (nonzero_shape(&bytes.dims)?, scales.to_floats().ok()?);
            let bytes = bytes.to_bytes(ElementType::Int8).ok()?;
            let per_output = bytes.len() / shape.first().filter(|&&size| size == scales.len())?;
            let value =
                |(index, &byte): (usize, &u8)| f32::from(byte as i8) * scales[index / per_output];
            return Some(Weight { shape, values: bytes.iter().enumerate().map(value).collect() });
        }
        let tensor = self.initializer(name)?;
        Some(Weight { shape: nonzero_shape(&tensor.dims)?, values: tensor.to_floats().ok()? })
    }

    /// The biases of a node, zeros if it has none.
    fn bias(&self, node: &NodeProto, outputs: usize) -> Option<Vec<f32>> {
        match node.input.get(2) {
            Some(name) => {
                let Weight { values, .. } = self.weight(name)?;
                (values.len() == outputs).then_some(values)
            }
            // Bounded by the number of weights in the file.
            None => Some(vec![0.0; outputs]),
        }
    }

    /// The operation of a node; `None` if it is unsupported.
    fn operation(&self, node: &NodeProto) -> Option<Operation> {
        let attributes = Attributes(&node.attribute);
        Some(match node.op_type.as_str() {
            "Conv" => self.convolution(node)?,
            "Gemm" => self.linear(node)?,
            "MatMul" => self.product(node)?,
            "Reshape" => self.unflatten(node)?,
            "MaxPool" => Operation::Pool(Pool::Max, attributes.pooling_window()?),
            "AveragePool" => {
                let window = attributes.pooling_window()?;
                let is_unpadded = window.pad_before == [0; 2] && window.pad_after == [0; 2];
                let counts_padding = is_unpadded || attributes.int("count_include_pad", 0) == 1;
                Operation::Pool(Pool::Mean, Some(window).filter(|_| counts_padding)?)
            }
            "GlobalAveragePool" => Operation::GlobalAverage,
            "Flatten" if attributes.int("axis", 1) == 1 => Operation::Flatten,
            "Transpose" if attributes.ints("perm") == [0, 2, 1, 3] => {
                Operation::SwapChannelsAndRows
            }
            "Relu" => Operation::Relu,
            "Sigmoid" => Operation::Sigmoid,
            "Add" if node.input.len() == 2 => Operation::Add,
            "Mul" if node.input.len() == 2 => {
                self.factor(node).map_or(Operation::Multiply, Operation::Scale)
            }
            "Mean" => Operation::Mean,
            _ => return None,
        })
    }

    fn convolution(&self, node: &NodeProto) -> Option<Operation> {
        let attributes = Attributes(&node.attribute);
        let Weight { shape, values } = self.weight(node.input.get(1)?)?;
        let &[outputs, group_inputs, rows, columns] = &shape[..] else { return None };
        let window = attributes.window([rows, columns])?;
        let groups = usize::try_from(attributes.int("group", 1)).ok()?;
        let bias = self.bias(node, outputs)?;
        let &[_, _, height, width] = self.shape(only_output(node)?) else { return None };
        let output_size = Some([height, width]);
        let shape = [outputs, group_inputs];
        let convolution = Convolution::new(window, groups, &values, shape, &bias, output_size)?;
        Some(Operation::Convolution(Box::new(convolution)))
    }

    fn linear(&self, node: &NodeProto) -> Option<Operation> {
        let attributes = Attributes(&node.attribute);
        let is_plain = attributes.int("transA", 0) == 0
            && attributes.0.iter().all(|attribute| attribute.name.starts_with("trans"));
        let Weight { shape, values } = self.weight(node.input.get(1)?)?;
        let &[rows, columns] = &shape[..] else { return None };
        let is_transposed = attributes.int("transB", 0) == 1;
        let [outputs, depth] = if is_transposed { [rows, columns] } else { [columns, rows] };
        let bias = self.bias(node, outputs).filter(|_| is_plain)?;
        let index = |output: usize, k: usize| {
            if is_transposed { output * depth + k } else { k * outputs + output }
        };
        let fill = |output: usize, row: &mut [f32]| {
            row.iter_mut().enumerate().for_each(|(k, weight)| *weight = values[index(output, k)]);
        };
        Some(Operation::Linear(PackedMatrix::new(&bias, depth, fill)))
    }

    /// The product with a constant matrix.
    fn product(&self, node: &NodeProto) -> Option<Operation> {
        let Weight { shape, values } = self.weight(node.input.get(1)?)?;
        let &[depth, _] = &shape[..] else { return None };
        BandedMatrix::new(&values, depth).map(Operation::Banded).or_else(|| self.linear(node))
    }

    /// `Reshape` of vectors `[N, C]` to `[0, C, 1, 1]`.
    fn unflatten(&self, node: &NodeProto) -> Option<Operation> {
        let [input, sides] = &node.input[..] else { return None };
        let &[1, channels] = self.shape(input) else { return None };
        let keeps_batch = self.initializer(sides)?.raw_data.starts_with(&0i64.to_le_bytes());
        let is_unit_map = self.shape(only_output(node)?) == [1, channels, 1, 1];
        (keeps_batch && is_unit_map && node.attribute.is_empty()).then_some(Operation::Unflatten)
    }

    /// The constant scalar by which a node multiplies a value.
    fn factor(&self, node: &NodeProto) -> Option<f32> {
        let [value, factor] = &node.input[..] else { return None };
        let &[factor] = &self.initializer(factor)?.to_floats().ok()?[..] else { return None };
        (self.shape(value) == self.shape(only_output(node)?)).then_some(factor)
    }
}

/// The output of a node, if it has exactly one.
fn only_output(node: &NodeProto) -> Option<&str> {
    let [output] = &node.output[..] else { return None };
    Some(output)
}

/// A shape without empty axes.
fn nonzero_shape(dims: &[i64]) -> Option<Vec<usize>> {
    dims.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size > 0)).collect()
}
