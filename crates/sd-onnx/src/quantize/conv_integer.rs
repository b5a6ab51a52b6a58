//! The format `ConvInteger`: 8-bit inputs, 32-bit sums, scaled back to `f32`.
//!
//! Two cases are avoided that rten, up to 0.27, computes wrongly. With a zero point other than 128, it
//! pads with the wrong value (seen on AVX-512 with VNNI): ranges are symmetric here, so maps after a
//! ReLU use 7 of the 8 bits. For grouped convolutions (its issue 1192, 0.24), there is one
//! `ConvInteger` per group, between `Split` and `Concat`.

use std::collections::HashSet;

use super::{KERNEL, QuantFormat, Ranges, affine, is_depthwise, node, quantizable, range_of};
use crate::fold::find;
use crate::proto::{AttributeProto, ElementType, GraphProto, NodeProto, TensorProto};
use crate::{Result, int};

/// `x` becomes `Add(Mul(Cast(ConvInteger(QuantizeLinear(x), w, 0ₓ)), sₓ · s_w), b)`.
pub(super) fn rewrite(graph: &mut GraphProto, ranges: &Ranges) -> Result<()> {
    let chosen: HashSet<usize> = quantizable(graph, QuantFormat::ConvInteger).into_iter().collect();
    let (mut nodes, mut weights, mut done) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, old) in graph.node.iter().enumerate() {
        if !chosen.contains(&index) {
            let new = match has_8_bit_weights(graph, old) {
                true => store_in_8_bits(graph, old, &mut nodes, &mut weights)?,
                false => old.clone(),
            };
            nodes.push(new);
            continue;
        }
        let (input, output) = (&*old.input[0], &*old.output[0]);
        let range = range_of(ranges, input)?.symmetric();
        let name = |what: &str| format!("{input}_{what}");
        let (scale, zero, bytes) = (name("scale"), name("zero"), name("bytes"));
        if done.insert(input) {
            weights.push(TensorProto::floats(scale.clone(), &[], &[range.scale()]));
            weights.push(affine::byte(&zero, range.zero_point()));
            nodes.push(node("QuantizeLinear", &[input, &scale, &zero], &bytes, vec![]));
        }
        let kernel = affine::quantize_kernel(find(graph, &old.input[1])?, affine::MAX_MULTIPLIED)?;
        let channels = kernel.scales.len() as i64;
        let scales: Vec<f32> = kernel.scales.iter().map(|scale| scale * range.scale()).collect();
        let bias = match old.input.get(2) {
            Some(name) => find(graph, name)?.to_floats()?,
            None => vec![0.0; scales.len()],
        };
        let name = |what: &str| format!("{output}_{what}");
        let (sums, floats, scaled) = (name("sums"), name("floats"), name("scaled"));
        let (factor, shift) = (name("factor"), name("shift"));
        add_sums(old, &kernel.values, [&bytes, &zero, &sums], &mut nodes, &mut weights);
        nodes.extend([
            node("Cast", &[&sums], &floats, vec![int("to", ElementType::Float as i64)]),
            node("Mul", &[&floats, &factor], &scaled, vec![]),
            node("Add", &[&scaled, &shift], output, vec![]),
        ]);
        weights.push(TensorProto::floats(factor, &[1, channels, 1, 1], &scales));
        weights.push(TensorProto::floats(shift, &[1, channels, 1, 1], &bias));
    }
    graph.node = nodes;
    graph.initializer.extend(weights);
    Ok(())
}

/// Whether a node is computed in `f32` from weights stored in 8 bits: depthwise convolutions and
/// classifiers.
fn has_8_bit_weights(graph: &GraphProto, node: &NodeProto) -> bool {
    let by_output =
        |attribute: &AttributeProto| attribute.name == "transB" && attribute.i == Some(1);
    let Some(weight) = node.input.get(1) else { return false };
    match &*node.op_type {
        "Conv" => weight.starts_with(KERNEL) && is_depthwise(graph, node),
        "Gemm" => node.attribute.iter().any(by_output) && find(graph, weight).is_ok(),
        _ => false,
    }
}

/// The node with 8-bit weights, which a `DequantizeLinear` converts to `f32`.
fn store_in_8_bits(
    graph: &GraphProto,
    old: &NodeProto,
    nodes: &mut Vec<NodeProto>,
    weights: &mut Vec<TensorProto>,
) -> Result<NodeProto> {
    let kernel = affine::quantize_kernel(find(graph, &old.input[1])?, affine::MAX_STORED)?;
    let named = |what: &str| format!("{}_{what}", old.output[0]);
    let (scales, floats) = (named("kernel_scales"), named("kernel"));
    let by_output = vec![int("axis", 0)];
    nodes.push(node("DequantizeLinear", &[&kernel.values.name, &scales], &floats, by_output));
    weights.push(TensorProto::floats(scales, &[kernel.scales.len() as i64], &kernel.scales));
    weights.push(kernel.values);
    let mut new = old.clone();
    new.input[1] = floats;
    Ok(new)
}

/// Adds `ConvInteger` nodes that compute `sums` from `bytes` with the zero point `zero`.
fn add_sums(
    old: &NodeProto,
    kernel: &TensorProto,
    [bytes, zero, sums]: [&str; 3],
    nodes: &mut Vec<NodeProto>,
    weights: &mut Vec<TensorProto>,
) {
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
        nodes.push(node("ConvInteger", &[bytes, &kernel.name, zero], sums, attributes));
        weights.push(kernel.clone());
        return;
    }
    let named = |what: &str, group: i64| format!("{sums}_{what}_{group}");
    let parts: Vec<String> = (0..groups).map(|group| named("part", group)).collect();
    let each: Vec<String> = (0..groups).map(|group| named("group", group)).collect();
    let sizes = format!("{sums}_sizes");
    let mut split = node("Split", &[bytes, &sizes], sums, vec![int("axis", 1)]);
    split.name = format!("{sums}_split");
    split.output.clone_from(&parts);
    nodes.push(split);
    weights.push(TensorProto::longs(sizes, &vec![inputs; groups as usize]));
    let share = kernel.raw_data.len() / groups as usize;
    for ((part, output), values) in parts.iter().zip(&each).zip(kernel.raw_data.chunks(share)) {
        let mut dims = kernel.dims.clone();
        dims[0] = outputs / groups;
        let name = format!("{output}_kernel");
        nodes.push(node("ConvInteger", &[part, &name, zero], output, whole.clone()));
        weights.push(TensorProto { dims, name, raw_data: values.to_vec(), ..kernel.clone() });
    }
    let each: Vec<&str> = each.iter().map(String::as_str).collect();
    nodes.push(node("Concat", &each, sums, vec![int("axis", 1)]));
}
