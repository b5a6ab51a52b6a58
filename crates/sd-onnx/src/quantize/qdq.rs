//! Float convolutions between `QuantizeLinear` and `DequantizeLinear`.

use std::collections::{BTreeMap, HashSet};

use super::{Form, Ranges, activated, node, numbers, quantised, range_of};
use crate::fold::find;
use crate::proto::{GraphProto, NodeProto, TensorProto};
use crate::{Result, int};

/// Every feature map that a chosen convolution takes or gives, after its ReLU, goes through bytes;
/// so do its kernel and, as 32-bit whole numbers, its bias.
pub(super) fn rewrite(graph: &mut GraphProto, ranges: &Ranges) -> Result<()> {
    let chosen: HashSet<usize> = quantised(graph, Form::Qdq).into_iter().collect();
    // The maps that go through bytes, and what they are called behind it.
    let mut maps = BTreeMap::new();
    for &index in &chosen {
        let (input, output) = (&graph.node[index].input[0], activated(graph, index));
        for name in [input, output] {
            maps.insert(name.to_owned(), format!("{name}_rounded"));
        }
    }
    let outputs: HashSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for input in graph.input.iter().filter(|input| maps.contains_key(&input.name)) {
        round(&input.name, &input.name, &maps[&input.name], ranges, &mut nodes, &mut weights)?;
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
            // An output keeps its name, rounded.
            let exact = format!("{given}_exact");
            new.output = vec![exact.clone()];
            nodes.push(new);
            round(&given, &exact, rounded, ranges, &mut nodes, &mut weights)?;
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
            round(&given, &given, rounded, ranges, &mut nodes, &mut weights)?;
        }
    }
    graph.node = nodes;
    graph.initializer.extend(weights);
    Ok(())
}

/// Writes `rounded`, the value `exact` through bytes; `name` is the map's own.
fn round(
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
    weights.push(numbers::byte(&zero, range.zero()));
    Ok(())
}

/// Kernel and bias of a convolution whose input has this scale, as whole numbers.
fn quantise_weights(
    graph: &GraphProto,
    convolution: &mut NodeProto,
    scale: f32,
    nodes: &mut Vec<NodeProto>,
    weights: &mut Vec<TensorProto>,
) -> Result<()> {
    let kernel = numbers::kernel(find(graph, &convolution.input[1])?, numbers::MULTIPLIED)?;
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
        weights.push(numbers::ints(&whole, &rounded.collect::<Vec<_>>()));
        weights.push(TensorProto::floats(scales, &[channels], &products));
        inputs.push(floats);
    }
    weights.push(TensorProto::floats(scales, &[channels], &kernel.scales));
    weights.push(kernel.values);
    convolution.input = inputs;
    Ok(())
}
