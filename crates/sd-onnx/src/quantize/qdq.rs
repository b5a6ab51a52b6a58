//! The format QDQ: `f32` convolutions between `QuantizeLinear` and `DequantizeLinear`.

use std::collections::{BTreeMap, HashSet};

use super::rewrite::{Rewrite, quantized};
use super::{QuantFormat, Ranges, activation, affine, quantizable};
use crate::Result;
use crate::proto::{ElementType, GraphProto, NodeProto, TensorProto};

/// Quantises and dequantises every input and output (after the ReLU) of the chosen convolutions, their
/// weights, and, in 32 bits, their biases.
pub(super) fn rewrite<'a>(graph: &'a GraphProto, ranges: &'a Ranges) -> Result<Rewrite<'a>> {
    let chosen: HashSet<usize> = quantizable(graph, QuantFormat::Qdq).into_iter().collect();
    let outputs: HashSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
    // The quantised maps, and the names of their dequantised values. A graph output keeps its name.
    let mut maps = BTreeMap::new();
    for &index in &chosen {
        for name in [&graph.node[index].input[0], activation(graph, index)] {
            let is_output = outputs.contains(name);
            let rounded = if is_output { name.to_owned() } else { format!("{name}_rounded") };
            maps.insert(name, rounded);
        }
    }
    let mut rewrite = Rewrite::new(graph, ranges);
    for input in &graph.input {
        if let Some(rounded) = maps.get(&*input.name) {
            round(&mut rewrite, &input.name, &input.name, rounded)?;
        }
    }
    for (index, old) in graph.node.iter().enumerate() {
        let mut new = old.clone();
        if chosen.contains(&index) {
            quantize_weights(&mut rewrite, &mut new)?;
        }
        for input in &mut new.input {
            if let Some(rounded) = maps.get(&**input) {
                input.clone_from(rounded);
            }
        }
        let name = &*old.output[0];
        let rounded = maps.get(name);
        if rounded.is_some_and(|rounded| rounded == name) {
            new.output[0] = format!("{name}_exact");
        }
        let exact = new.output[0].clone();
        rewrite.nodes.push(new);
        if let Some(rounded) = rounded {
            round(&mut rewrite, name, &exact, rounded)?;
        }
    }
    Ok(rewrite)
}

/// Quantises `exact`, the value of the map `name`, and dequantises it to `rounded`.
fn round(rewrite: &mut Rewrite, name: &str, exact: &str, rounded: &str) -> Result<()> {
    rewrite.quantize(name, exact, rewrite.range(name)?);
    let [bytes, scale, zero] = &quantized(name);
    rewrite.add("DequantizeLinear", &[bytes, scale, zero], rounded, vec![]);
    Ok(())
}

/// Quantises weights and biases of a convolution.
fn quantize_weights(rewrite: &mut Rewrite, convolution: &mut NodeProto) -> Result<()> {
    let scale = rewrite.range(&convolution.input[0])?.scale();
    let (kernel, scales) = rewrite.store_kernel(convolution, affine::MAX_MULTIPLIED)?;
    if let Some(name) = convolution.input.get(2) {
        let scales: Vec<f32> = scales.iter().map(|kernel| kernel * scale).collect();
        let bias = rewrite.floats(name)?;
        let whole = bias.iter().zip(&scales).map(|(bias, scale)| (bias / scale).round() as i32);
        let bytes: Vec<u8> = whole.flat_map(i32::to_le_bytes).collect();
        let name = format!("{}_bias", convolution.output[0]);
        let dims = [scales.len() as i64];
        let whole = TensorProto::new(&format!("{name}_int32"), &dims, ElementType::Int32, bytes);
        rewrite.dequantize(whole, &scales, &name);
        convolution.input[2] = name;
    }
    convolution.input[1] = kernel;
    Ok(())
}
