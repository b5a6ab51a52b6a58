//! The format `ConvInteger`: 8-bit inputs, 32-bit sums, scaled back to `f32`.
//!
//! Two cases are avoided that rten, up to 0.27, computes wrongly. With a zero point other than 128, it
//! pads with the wrong value (seen on AVX-512 with VNNI): ranges are symmetric here, so maps after a
//! ReLU use 7 of the 8 bits. For grouped convolutions (its issue 1192, 0.24), there is one
//! `ConvInteger` per group, between `Split` and `Concat`.

use std::collections::HashSet;

use super::rewrite::{Rewrite, quantized};
use super::{QuantFormat, Ranges, affine, is_depthwise, is_kernel, quantizable};
use crate::fold::find;
use crate::proto::{AttributeProto, ElementType, GraphProto, NodeProto, TensorProto};
use crate::{Result, int};

/// `x` becomes `Add(Mul(Cast(ConvInteger(QuantizeLinear(x), w, 0ₓ)), sₓ · s_w), b)`.
pub(super) fn rewrite<'a>(graph: &'a GraphProto, ranges: &'a Ranges) -> Result<Rewrite<'a>> {
    let chosen: HashSet<usize> = quantizable(graph, QuantFormat::ConvInteger).into_iter().collect();
    let (mut rewrite, mut done) = (Rewrite::new(graph, ranges), HashSet::new());
    for (index, old) in graph.node.iter().enumerate() {
        if !chosen.contains(&index) {
            let mut new = old.clone();
            if has_8_bit_weights(graph, old) {
                // One scale for a whole matrix, so that a banded one keeps equal diagonals.
                let scale = match &*old.op_type {
                    "MatMul" => {
                        affine::largest(&rewrite.floats(&old.input[1])?) / affine::MAX_STORED
                    }
                    _ => 0.0,
                };
                (new.input[1], _) = rewrite.store_kernel(old, affine::MAX_STORED, |_| scale)?;
            }
            rewrite.nodes.push(new);
            continue;
        }
        let (input, output) = (&*old.input[0], &*old.output[0]);
        let range = rewrite.range(input)?.symmetric();
        if done.insert(input) {
            rewrite.quantize(input, input, range);
        }
        let kernel = find(graph, &old.input[1])?;
        let kernel = affine::quantize_kernel(kernel, affine::MAX_MULTIPLIED, |_| 0.0)?;
        let channels = kernel.scales.len() as i64;
        let scales: Vec<f32> = kernel.scales.iter().map(|scale| scale * range.scale()).collect();
        let bias = match old.input.get(2) {
            Some(name) => rewrite.floats(name)?,
            None => vec![0.0; scales.len()],
        };
        let name = |what: &str| format!("{output}_{what}");
        let (sums, floats, scaled) = (name("sums"), name("floats"), name("scaled"));
        let (factor, shift) = (name("factor"), name("shift"));
        add_sums(&mut rewrite, old, &kernel.values, &sums);
        rewrite.add("Cast", &[&sums], &floats, vec![int("to", ElementType::Float as i64)]);
        rewrite.add("Mul", &[&floats, &factor], &scaled, vec![]);
        rewrite.add("Add", &[&scaled, &shift], output, vec![]);
        rewrite.weights.push(TensorProto::floats(&factor, &[1, channels, 1, 1], &scales));
        rewrite.weights.push(TensorProto::floats(&shift, &[1, channels, 1, 1], &bias));
    }
    Ok(rewrite)
}

/// Whether a node is computed in `f32` from weights stored in 8 bits: depthwise convolutions,
/// classifiers and products with a constant matrix.
fn has_8_bit_weights(graph: &GraphProto, node: &NodeProto) -> bool {
    let by_output =
        |attribute: &AttributeProto| attribute.name == "transB" && attribute.i == Some(1);
    let Some(weight) = node.input.get(1) else { return false };
    match &*node.op_type {
        "Conv" => is_kernel(weight) && is_depthwise(graph, node),
        "Gemm" => node.attribute.iter().any(by_output) && find(graph, weight).is_ok(),
        "MatMul" => find(graph, weight).is_ok(),
        _ => false,
    }
}

/// Adds `ConvInteger` nodes that compute `sums` from the quantised input of the convolution `old`.
fn add_sums(rewrite: &mut Rewrite, old: &NodeProto, kernel: &TensorProto, sums: &str) {
    let [bytes, _, zero] = &quantized(&old.input[0]);
    let (mut groups, mut whole) = (1, Vec::new());
    for attribute in &old.attribute {
        match &*attribute.name {
            "group" => groups = attribute.i.unwrap_or(1).max(1),
            _ => whole.push(attribute.clone()),
        }
    }
    let (outputs, inputs) = (kernel.dims[0], kernel.dims.get(1).copied().unwrap_or(0));
    if groups == 1 || outputs % groups != 0 {
        let attributes = if groups == 1 { whole } else { old.attribute.clone() };
        rewrite.add("ConvInteger", &[bytes, &kernel.name, zero], sums, attributes);
        rewrite.weights.push(kernel.clone());
        return;
    }
    let named = |what: &str, group: i64| format!("{sums}_{what}_{group}");
    let parts: Vec<String> = (0..groups).map(|group| named("part", group)).collect();
    let each: Vec<String> = (0..groups).map(|group| named("group", group)).collect();
    let sizes = format!("{sums}_sizes");
    let mut split = NodeProto::new("Split", &[bytes, &sizes], sums, vec![int("axis", 1)]);
    split.name = format!("{sums}_split");
    split.output.clone_from(&parts);
    rewrite.nodes.push(split);
    rewrite.weights.push(TensorProto::longs(&sizes, &vec![inputs; groups as usize]));
    let share = kernel.raw_data.len() / groups as usize;
    for ((part, output), values) in parts.iter().zip(&each).zip(kernel.raw_data.chunks(share)) {
        let mut dims = kernel.dims.clone();
        dims[0] = outputs / groups;
        let name = format!("{output}_kernel");
        rewrite.add("ConvInteger", &[part, &name, zero], output, whole.clone());
        let values = TensorProto::new(&name, &dims, ElementType::Int8, values.to_vec());
        rewrite.weights.push(values);
    }
    let each: Vec<&str> = each.iter().map(String::as_str).collect();
    rewrite.add("Concat", &each, sums, vec![int("axis", 1)]);
}
