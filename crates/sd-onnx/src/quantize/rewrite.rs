//! The new nodes and weights of a graph that is being quantised.

use super::Ranges;
use super::affine::{Range, quantize_kernel};
use crate::fold::find;
use crate::proto::{AttributeProto, ElementType, GraphProto, NodeProto, TensorProto};
use crate::{Error, Result, int};

/// The new nodes, in execution order, and the additional weights.
pub(super) struct Rewrite<'a> {
    graph: &'a GraphProto,
    ranges: &'a Ranges,
    pub nodes: Vec<NodeProto>,
    pub weights: Vec<TensorProto>,
}

impl<'a> Rewrite<'a> {
    pub fn new(graph: &'a GraphProto, ranges: &'a Ranges) -> Self {
        Self { graph, ranges, nodes: Vec::new(), weights: Vec::new() }
    }

    pub fn add(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto::new(operator, inputs, output, attribute));
    }

    /// The calibrated range of a value.
    pub fn range(&self, name: &str) -> Result<Range> {
        self.ranges.get(name).copied().ok_or_else(|| Error::Range(name.to_owned()))
    }

    /// The values of a weight.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        find(self.graph, name)?.to_floats()
    }

    /// Quantises the value `exact` to the [`quantized`] names of `name`.
    pub fn quantize(&mut self, name: &str, exact: &str, range: Range) {
        let [bytes, scale, zero] = quantized(name);
        self.add("QuantizeLinear", &[exact, &scale, &zero], &bytes, vec![]);
        let zero_point = vec![range.zero_point()];
        self.weights.push(TensorProto::floats(&scale, &[], &[range.scale()]));
        self.weights.push(TensorProto::new(&zero, &[], ElementType::Uint8, zero_point));
    }

    /// Stores the weights of a node in 8 bits, with a magnitude of at most `max` and a scale of at
    /// least `min_scale(channel)`, and dequantises them. Returns the name of the dequantised weights,
    /// and their scales.
    pub fn store_kernel(
        &mut self,
        node: &NodeProto,
        max: f32,
        min_scale: impl Fn(usize) -> f32,
    ) -> Result<(String, Vec<f32>)> {
        let kernel = quantize_kernel(find(self.graph, &node.input[1])?, max, min_scale)?;
        let floats = format!("{}_kernel", node.output[0]);
        self.dequantize(kernel.values, &kernel.scales, &floats);
        Ok((floats, kernel.scales))
    }

    /// Dequantises a weight to `output`, with a scale for each output channel.
    pub fn dequantize(&mut self, values: TensorProto, scales: &[f32], output: &str) {
        let name = format!("{output}_scales");
        self.add("DequantizeLinear", &[&values.name, &name], output, vec![int("axis", 0)]);
        self.weights.push(TensorProto::floats(&name, &[scales.len() as i64], scales));
        self.weights.push(values);
    }
}

/// Names of the bytes, the scale and the zero point of a quantised value.
pub(super) fn quantized(name: &str) -> [String; 3] {
    ["bytes", "scale", "zero"].map(|part| format!("{name}_{part}"))
}
