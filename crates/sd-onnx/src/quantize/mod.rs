//! Networks in 8-bit whole numbers.
//!
//! Feature maps are u8 with one scale a map, from ranges that were measured before (static
//! calibration); weights are i8 with a scale for each output channel. Processors without VNNI add
//! two products u8 · i8 in 16 bits: weights stay within ±64, so that no such sum overflows.
//!
//! The runtimes take different forms as 8-bit arithmetic, see [`Form`]. In both, the first
//! convolution (it sees the images, and has few weights) and the classifiers compute in floats.

mod conv_integer;
mod numbers;
mod qdq;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fold::{drop_unused, find};
use crate::proto::{
    AttributeProto, ElementType, GraphProto, NodeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{Error, Result};
pub use numbers::Range;

/// The first part of the name of a kernel that may be quantised.
pub const KERNEL: &str = "conv_weight";

/// How a graph says that a convolution is to be computed in whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Float convolutions between `QuantizeLinear` and `DequantizeLinear`, which ONNX Runtime
    /// joins. The Rust runtimes compute them in floats, slower than the float file.
    Qdq,
    /// `ConvInteger`, which the native engine and rten compute in whole numbers. Depthwise
    /// convolutions and classifiers compute in floats, from weights that the file has in bytes.
    ConvInteger,
}

/// The range of each value that a form needs, by its name.
pub type Ranges = BTreeMap<String, Range>;

/// The values whose ranges [`quantize`] needs.
pub fn values_to_measure(graph: &GraphProto, form: Form) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for index in quantised(graph, form) {
        names.insert(graph.node[index].input[0].clone());
        if form == Form::Qdq {
            names.insert(activated(graph, index).to_owned());
        }
    }
    names
}

/// The graph with these values as its outputs, for a runtime to measure them.
#[must_use]
pub fn with_outputs(graph: &GraphProto, values: &BTreeSet<String>) -> GraphProto {
    let output = |name: &String| {
        let tensor = TensorTypeProto { elem_type: ElementType::Float as i32, shape: None };
        let r#type = Some(TypeProto { tensor_type: Some(tensor) });
        ValueInfoProto { name: name.clone(), r#type }
    };
    GraphProto { output: values.iter().map(output).collect(), ..graph.clone() }
}

/// Rewrites the convolutions of a graph whose batch norms are folded.
///
/// # Errors
/// [`Error::Range`] if a range is missing, [`Error::Tensor`] if a weight is not what its node
/// needs.
pub fn quantize(graph: &mut GraphProto, ranges: &Ranges, form: Form) -> Result<()> {
    match form {
        Form::Qdq => qdq::rewrite(graph, ranges)?,
        Form::ConvInteger => conv_integer::rewrite(graph, ranges)?,
    }
    drop_unused(graph);
    Ok(())
}

/// Places of the convolutions to quantise. Depthwise ones, which take two of a hundred operations, are
/// no faster in bytes where nothing joins them with the rounding: as [`Form::ConvInteger`] they
/// stay floats.
fn quantised(graph: &GraphProto, form: Form) -> Vec<usize> {
    let of_images = |node: &NodeProto| {
        graph.input.iter().any(|input| input.name == node.input[0] && input.name == "images")
    };
    let chosen = |node: &NodeProto| {
        let kernel = node.input.get(1);
        node.op_type == "Conv"
            && kernel.is_some_and(|name| name.starts_with(KERNEL))
            && !of_images(node)
            && (form == Form::Qdq || !is_depthwise(graph, node))
    };
    let nodes = graph.node.iter().enumerate();
    nodes.filter(|(_, node)| chosen(node)).map(|(index, _)| index).collect()
}

/// Whether a convolution has one input channel a group, and more groups than one.
fn is_depthwise(graph: &GraphProto, node: &NodeProto) -> bool {
    let grouped = |attribute: &AttributeProto| {
        attribute.name == "group" && attribute.i.is_some_and(|groups| groups > 1)
    };
    let kernel = node.input.get(1).and_then(|name| find(graph, name).ok());
    node.attribute.iter().any(grouped)
        && kernel.is_some_and(|kernel| kernel.dims.get(1) == Some(&1))
}

/// What the convolution gives after its ReLU, if one alone follows it.
fn activated(graph: &GraphProto, convolution: usize) -> &str {
    let output = &graph.node[convolution].output[0];
    let mut users = graph.node.iter().filter(|node| node.input.contains(output));
    match (users.next(), users.next()) {
        (Some(only), None) if only.op_type == "Relu" => &only.output[0],
        _ => output,
    }
}

fn range_of(ranges: &Ranges, name: &str) -> Result<Range> {
    ranges.get(name).copied().ok_or_else(|| Error::Range(name.to_owned()))
}

/// A node that gives `output`.
fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("{output}_node"),
        op_type: operator.to_owned(),
        attribute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, ints};

    /// images → conv → relu → conv → relu → map.
    pub fn graph() -> GraphProto {
        let mut graph = Graph::new("two");
        let images = graph.input("images", &[1, 1, 1]);
        let convolution = |graph: &mut Graph, input: &crate::Value| {
            let weight = graph.weight(KERNEL, &[2, 1, 1, 1], &[0.5, -2.0]);
            let bias = graph.weight("bias", &[2], &[0.25, 1.0]);
            let window = vec![ints("kernel_shape", &[1, 1])];
            let map = graph.node("Conv", &[input, &weight, &bias], window);
            graph.node("Relu", &[&map], vec![])
        };
        let first = convolution(&mut graph, &images);
        let second = convolution(&mut graph, &first);
        graph.output(&second, "map", &[2, 1, 1]);
        graph.finish()
    }

    pub fn ranges() -> Ranges {
        [("relu_1".to_owned(), Range::new(0.0, 2.55)), ("map".to_owned(), Range::new(0.0, 5.1))]
            .into()
    }

    fn operators(graph: &GraphProto) -> Vec<&str> {
        graph.node.iter().map(|node| &*node.op_type).collect()
    }

    #[test]
    fn what_is_measured_is_what_is_needed() {
        let names = |form| Vec::from_iter(values_to_measure(&graph(), form));
        assert_eq!(names(Form::ConvInteger), ["relu_1"]);
        assert_eq!(names(Form::Qdq), ["map", "relu_1"]);
        for form in [Form::ConvInteger, Form::Qdq] {
            let error = quantize(&mut graph(), &Ranges::new(), form).unwrap_err().to_string();
            assert_eq!(error, "no range was measured for relu_1");
        }
    }

    #[test]
    fn the_second_convolution_alone_is_rewritten() {
        let mut integer = graph();
        quantize(&mut integer, &ranges(), Form::ConvInteger).unwrap();
        let expected =
            ["Conv", "Relu", "QuantizeLinear", "ConvInteger", "Cast", "Mul", "Add", "Relu"];
        assert_eq!(operators(&integer), expected);
        let mut qdq = graph();
        quantize(&mut qdq, &ranges(), Form::Qdq).unwrap();
        let (quantise, back) = ("QuantizeLinear", "DequantizeLinear");
        let expected = ["Conv", "Relu", quantise, back, back, back, "Conv", "Relu", quantise, back];
        assert_eq!(operators(&qdq), expected);
        assert_eq!(qdq.node.last().unwrap().output, ["map"]);
    }
}
