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

/// Largest magnitude of 32-bit biases: half of the range, and the sums of the products, at most
/// 255 · 64 each, have the other half.
const MAX_BIAS: f32 = (1u32 << 30) as f32;

/// Quantises weights and biases of a convolution. A bias has the scale of the channel's products, so
/// the scale of small weights is raised until their bias fits 32 bits.
fn quantize_weights(rewrite: &mut Rewrite, convolution: &mut NodeProto) -> Result<()> {
    let scale = rewrite.range(&convolution.input[0])?.scale();
    let bias = convolution.input.get(2).map(|name| rewrite.floats(name)).transpose()?;
    let min_scale = |channel: usize| match bias.as_ref().and_then(|bias| bias.get(channel)) {
        Some(&bias) if bias != 0.0 => (bias.abs() / MAX_BIAS).max(f32::MIN_POSITIVE) / scale,
        _ => 0.0,
    };
    let (kernel, scales) = rewrite.store_kernel(convolution, affine::MAX_MULTIPLIED, min_scale)?;
    if let Some(bias) = bias {
        let scales: Vec<f32> = scales.iter().map(|kernel| kernel * scale).collect();
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

#[cfg(test)]
mod tests {
    use super::super::quantize;
    use super::super::tests::{graph, ranges};
    use super::*;
    use crate::fold::find;

    /// The biases of the quantised convolution, as `DequantizeLinear` returns them.
    fn biases(kernel: [f32; 2], bias: [f32; 2]) -> Vec<f32> {
        let mut graph = graph();
        for (name, dims, values) in
            [("conv_weight_2", &[2, 1, 1, 1][..], kernel), ("bias_2", &[2], bias)]
        {
            let place = graph.initializer.iter().position(|weight| weight.name == name).unwrap();
            graph.initializer[place] = TensorProto::floats(name, dims, &values);
        }
        quantize(&mut graph, &ranges(), QuantFormat::Qdq).unwrap();
        let named = |part: &str| {
            graph.initializer.iter().find(|weight| weight.name.ends_with(part)).unwrap()
        };
        let scales = find(&graph, &named("_bias_scales").name).unwrap().to_floats().unwrap();
        let (whole, _) = named("_bias_int32").raw_data.as_chunks();
        whole.iter().zip(scales).map(|(&w, scale)| i32::from_le_bytes(w) as f32 * scale).collect()
    }

    #[test]
    fn the_biases_of_dead_filters_are_kept() {
        for kernel in [[1e-30, 0.0], [0.0, -1e-44], [0.5, 1e-12]] {
            for bias in [[0.5, -3.0], [1e-3, 1e4], [0.0, 0.25]] {
                for (found, expected) in biases(kernel, bias).iter().zip(bias) {
                    // A weight's own scale bounds the resolution: 0.5 / 64 · 0.01.
                    let resolution = (expected.abs() * 1e-6).max(0.5 / 64.0 * 0.01 / 2.0);
                    assert!(
                        (found - expected).abs() <= resolution,
                        "{kernel:?}: {found} {expected}"
                    );
                }
            }
        }
    }
}
