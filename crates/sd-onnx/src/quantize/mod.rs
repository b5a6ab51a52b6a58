//! Post-training quantisation to 8 bits.
//!
//! Feature maps are u8 with one scale per map, from calibrated ranges (static quantisation); weights
//! are i8 with one scale per output channel. Processors without VNNI add two products u8 · i8 in 16
//! bits: weights stay within ±64, so that these sums do not overflow.
//!
//! Engines support different formats of 8-bit arithmetic, see [`QuantFormat`]. In both, the first
//! convolution, which has few weights, and the classifiers stay in `f32`.

mod affine;
mod conv_integer;
mod qdq;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fold::{drop_unused, find};
use crate::proto::{
    AttributeProto, ElementType, GraphProto, NodeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::{Result, without_scope};
pub use affine::Range;
use rewrite::Rewrite;

/// Prefix, after the scope, of the names of convolution weights that may be quantised.
pub const KERNEL: &str = "conv_weight";

/// Whether this is the name of a convolution weight that may be quantised.
fn is_kernel(name: &str) -> bool {
    without_scope(name).starts_with(KERNEL)
}

/// How a graph expresses 8-bit convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantFormat {
    /// `f32` convolutions between `QuantizeLinear` and `DequantizeLinear`, which ONNX Runtime fuses.
    /// rten computes them in `f32`, slower than the `f32` file; the native engine refuses them.
    Qdq,
    /// `ConvInteger`, which the native engine and rten compute in 8 bits. Depthwise convolutions and
    /// classifiers are computed in `f32`, from weights stored in 8 bits.
    ConvInteger,
}

/// Calibrated range of each value, by its name.
pub type Ranges = BTreeMap<String, Range>;

/// Names of the values whose ranges [`quantize`] needs.
pub fn values_to_calibrate(graph: &GraphProto, format: QuantFormat) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for index in quantizable(graph, format) {
        names.insert(graph.node[index].input[0].clone());
        if format == QuantFormat::Qdq {
            names.insert(activation(graph, index).to_owned());
        }
    }
    names
}

/// Returns the graph with these values as its outputs, for calibration.
#[must_use]
pub fn with_outputs(graph: &GraphProto, values: &BTreeSet<String>) -> GraphProto {
    let output = |name: &String| {
        let tensor = TensorTypeProto { elem_type: ElementType::Float as i32, shape: None };
        let r#type = Some(TypeProto { tensor_type: Some(tensor) });
        ValueInfoProto { name: name.clone(), r#type }
    };
    GraphProto { output: values.iter().map(output).collect(), ..graph.clone() }
}

/// Quantises the convolutions of a graph whose batch norms are folded.
///
/// # Errors
/// [`Error::Range`](crate::Error::Range) if a range is missing, [`Error::Tensor`](crate::Error::Tensor) if a weight has an
/// unexpected type or shape.
pub fn quantize(graph: &mut GraphProto, ranges: &Ranges, format: QuantFormat) -> Result<()> {
    let Rewrite { nodes, weights, .. } = match format {
        QuantFormat::Qdq => qdq::rewrite(graph, ranges)?,
        QuantFormat::ConvInteger => conv_integer::rewrite(graph, ranges)?,
    };
    graph.node = nodes;
    graph.initializer.extend(weights);
    drop_unused(graph);
    Ok(())
}

/// Indices of the convolutions to quantise. Depthwise ones, 2 % of the operations, are no faster in 8
/// bits unless they are fused with the quantisation: with [`QuantFormat::ConvInteger`] they stay in
/// `f32`.
fn quantizable(graph: &GraphProto, format: QuantFormat) -> Vec<usize> {
    let takes_images = |node: &NodeProto| {
        graph.input.iter().any(|input| input.name == node.input[0] && input.name == "images")
    };
    let chosen = |node: &NodeProto| {
        let kernel = node.input.get(1);
        node.op_type == "Conv"
            && kernel.is_some_and(|name| is_kernel(name))
            && !takes_images(node)
            && (format == QuantFormat::Qdq || !is_depthwise(graph, node))
    };
    let nodes = graph.node.iter().enumerate();
    nodes.filter(|(_, node)| chosen(node)).map(|(index, _)| index).collect()
}

/// Whether a convolution has several groups of one input channel each.
fn is_depthwise(graph: &GraphProto, node: &NodeProto) -> bool {
    let grouped = |attribute: &AttributeProto| {
        attribute.name == "group" && attribute.i.is_some_and(|groups| groups > 1)
    };
    let kernel = node.input.get(1).and_then(|name| find(graph, name).ok());
    node.attribute.iter().any(grouped)
        && kernel.is_some_and(|kernel| kernel.dims.get(1) == Some(&1))
}

/// The output of a convolution, or of the ReLU that is its only use.
fn activation(graph: &GraphProto, convolution: usize) -> &str {
    let output = &graph.node[convolution].output[0];
    let mut users = graph.node.iter().filter(|node| node.input.contains(output));
    match (users.next(), users.next()) {
        (Some(only), None) if only.op_type == "Relu" => &only.output[0],
        _ => output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, ints};

    /// images → conv → relu → conv → relu → map.
    pub(super) fn graph() -> GraphProto {
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

    pub(super) fn ranges() -> Ranges {
        [("relu_1".to_owned(), Range::new(0.0, 2.55)), ("map".to_owned(), Range::new(0.0, 5.1))]
            .into()
    }

    fn operators(graph: &GraphProto) -> Vec<&str> {
        graph.node.iter().map(|node| &*node.op_type).collect()
    }

    #[test]
    fn the_ranges_to_calibrate_are_those_needed() {
        let names = |format| Vec::from_iter(values_to_calibrate(&graph(), format));
        assert_eq!(names(QuantFormat::ConvInteger), ["relu_1"]);
        assert_eq!(names(QuantFormat::Qdq), ["map", "relu_1"]);
        for format in [QuantFormat::ConvInteger, QuantFormat::Qdq] {
            let error = quantize(&mut graph(), &Ranges::new(), format).unwrap_err().to_string();
            assert_eq!(error, "no range was measured for relu_1");
        }
    }

    #[test]
    fn a_banded_matrix_is_stored_in_bytes_of_one_scale() {
        let mut graph = Graph::new("banded");
        let vectors = graph.input("vectors", &[3]);
        let bands =
            graph.weight("bands", &[3, 3], &[2.0, -1.0, 0.0, 0.5, 2.0, -1.0, 0.0, 0.5, 2.0]);
        let product = graph.node("MatMul", &[&vectors, &bands], vec![]);
        graph.output(&product, "product", &[3]);
        let mut graph = graph.finish();
        quantize(&mut graph, &Ranges::new(), QuantFormat::ConvInteger).unwrap();
        assert_eq!(operators(&graph), ["DequantizeLinear", "MatMul"]);
        let scales = find(&graph, &graph.node[0].input[1]).unwrap().to_floats().unwrap();
        assert_eq!(scales, [2.0 / 127.0; 3]);
    }

    #[test]
    fn all_convolutions_but_the_first_are_quantised() {
        let mut integer = graph();
        quantize(&mut integer, &ranges(), QuantFormat::ConvInteger).unwrap();
        let expected =
            ["Conv", "Relu", "QuantizeLinear", "ConvInteger", "Cast", "Mul", "Add", "Relu"];
        assert_eq!(operators(&integer), expected);
        let mut qdq = graph();
        quantize(&mut qdq, &ranges(), QuantFormat::Qdq).unwrap();
        let (quantise, back) = ("QuantizeLinear", "DequantizeLinear");
        let expected = ["Conv", "Relu", quantise, back, back, back, "Conv", "Relu", quantise, back];
        assert_eq!(operators(&qdq), expected);
        assert_eq!(qdq.node.last().unwrap().output, ["map"]);
    }
}
