//! The format QDQ: `f32` convolutions between `QuantizeLinear` and `DequantizeLinear`.

use std::collections::{BTreeMap, HashSet};

use super::{QuantFormat, Ranges, activation, affine, node, quantizable, range_of};
use crate::fold::find;
use crate::proto::{GraphProto, NodeProto, TensorProto};
use crate::{Result, int};

/// Quantises and dequantises every input and output (after the ReLU) of the chosen convolutions, their
/// weights, and, in 32 bits, their biases.
pub(super) fn rewrite(graph: &mut GraphProto, ranges: &Ranges) -> Result<()> {
    let chosen: HashSet<usize> = quantizable(graph, QuantFormat::Qdq).into_iter().collect();
    // The quantised maps, and the names of their dequantised values.
    let mut maps = BTreeMap::new();
    for &index in &chosen {
        let (input, output) = (&graph.node[index].input[0], activation(graph, index));
        for name in [input, output] {
            maps.insert(name.to_owned(), format!("{name}_rounded"));
        }
    }
    let outputs: HashSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for input in graph.input.iter().filter(|input| maps.contains_key(&input.name)) {
        add_quantization(
            &input.name,
            &input.name,
            &maps[&input.name],
            ranges,
            &mut nodes,
            &mut weights,
        )?;
    }
    for (index, old) in graph.node.iter().enumerate() {
        let mut new = old.clone();
        if chosen.contains(&index) {
            let scale = range_of(ranges, &old.input[0])?.scale();
            quantise_weights(graph, &mut new, scale, &mut nodes, &mut weights)?;
        }
        for input in &mut new.input {
            if let Some(rounded) = maps.get(input) {
                input.clone_from(rounded);
            }
        }
        let given = old.output[0].clone();
        let Some(rounded) = maps.get(&given) else {
            nodes.push(new);
            continue;
        };
        if outputs.contains(&*given) {
            // A graph output keeps its name for the dequantised value.
            let exact = format!("{given}_exact");
            new.output = vec![exact.clone()];
            nodes.push(new);
            add_quantization(&given, &exact, rounded, ranges, &mut nodes, &mut weights)?;
            for node in &mut nodes {
                for name in node.input.iter_mut().chain(&mut node.output) {
                    if name == rounded {
                        name.clone_from(&given);
                    }
                }
            }
            maps.insert(given.clone(), given);
        } else {
            nodes.push(new);
            add_quantization(&given, &given, rounded, ranges, &mut nodes, &mut weights)?;
        }
    }
    graph.node = nodes;
    graph.initializer.extend(weights);
    Ok(())
}

/// Adds nodes that quantise `exact` and dequantise it to `rounded`; `name` is the map's own.
fn add_quantization(
    name: &str,
    exact: &str,
    rounded: &str,
    ranges: &Ranges,
    nodes: &mut Vec<NodeProto>,
    weights: &mut Vec<TensorProto>,
) -> Result<()> {
    let range = range_of(ranges, name)?;
    let named = |what: &str| format!("{name}_{what}");
    let (scale, zero, bytes) = (named("scale"), named("zero"), named("bytes"));
    nodes.push(node("QuantizeLinear", &[exact, &scale, &zero], &bytes, vec![]));
    nodes.push(node("DequantizeLinear", &[&bytes, &scale, &zero], rounded, vec![]));
    weights.push(TensorProto::floats(scale, &[], &[range.scale()]));
    weights.push(affine::byte(&zero, range.zero_point()));
    Ok(())
}

/// Quantises weights and biases of a convolution whose input has this scale.
fn quantise_weights(
    graph: &GraphProto,
    convolution: &mut NodeProto,
    scale: f32,
    nodes: &mut Vec<NodeProto>,
    weights: &mut Vec<TensorProto>,
) -> Result<()> {
    let kernel =
        affine::quantize_kernel(find(graph, &convolution.input[1])?, affine::MAX_MULTIPLIED)?;
    let channels = kernel.scales.len() as i64;
    let named = |what: &str| format!("{}_{what}", convolution.output[0]);
    let (scales, floats) = (named("kernel_scales"), named("kernel"));
    let by_channel = || vec![int("axis", 0)];
    nodes.push(node("DequantizeLinear", &[&kernel.values.name, &scales], &floats, by_channel()));
    let mut inputs = vec![convolution.input[0].clone(), floats];
    if let Some(name) = convolution.input.get(2) {
        let products: Vec<f32> = kernel.scales.iter().map(|kernel| kernel * scale).collect();
        let bias = find(graph, name)?.to_floats()?;
        let rounded = bias.iter().zip(&products).map(|(bias, scale)| (bias / scale).round() as i32);
        let (whole, scales, floats) = (named("bias_int32"), named("bias_scales"), named("bias"));
        nodes.push(node("DequantizeLinear", &[&whole, &scales], &floats, by_channel()));
        weights.push(affine::ints(&whole, &rounded.collect::<Vec<_>>()));
        weights.push(TensorProto::floats(scales, &[channels], &products));
        inputs.push(floats);
    }
    weights.push(TensorProto::floats(scales, &[channels], &kernel.scales));
    weights.push(kernel.values);
    convolution.input = inputs;
    Ok(())
}
