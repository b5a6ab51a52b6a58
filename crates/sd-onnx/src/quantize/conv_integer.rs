//! Convolutions as `ConvInteger`: bytes in, 32-bit sums out, scaled back to floats.

use std::collections::HashSet;

use super::{Ranges, node, numbers, quantised, range_of};
use crate::fold::find;
use crate::proto::{ElementType, GraphProto, TensorProto};
use crate::{Result, int};

/// `x` becomes `Add(Mul(Cast(ConvInteger(QuantizeLinear(x), w, 0ₓ)), sₓ · s_w), b)`.
pub(super) fn rewrite(graph: &mut GraphProto, ranges: &Ranges) -> Result<()> {
    let chosen: HashSet<usize> = quantised(graph).into_iter().collect();
    let (mut nodes, mut weights, mut done) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, old) in graph.node.iter().enumerate() {
        if !chosen.contains(&index) {
            nodes.push(old.clone());
            continue;
        }
        let (input, output) = (&*old.input[0], &*old.output[0]);
        let range = range_of(ranges, input)?;
        let name = |what: &str| format!("{input}_{what}");
        let (scale, zero, bytes) = (name("scale"), name("zero"), name("bytes"));
        if done.insert(input) {
            weights.push(TensorProto::floats(scale.clone(), &[], &[range.scale()]));
            weights.push(numbers::byte(&zero, range.zero()));
            nodes.push(node("QuantizeLinear", &[input, &scale, &zero], &bytes, vec![]));
        }
        let kernel = numbers::kernel(find(graph, &old.input[1])?)?;
        let channels = kernel.scales.len() as i64;
        let scales: Vec<f32> = kernel.scales.iter().map(|scale| scale * range.scale()).collect();
        let bias = match old.input.get(2) {
            Some(name) => find(graph, name)?.to_floats()?,
            None => vec![0.0; scales.len()],
        };
        let name = |what: &str| format!("{output}_{what}");
        let (sums, floats, scaled) = (name("sums"), name("floats"), name("scaled"));
        let (factor, shift) = (name("factor"), name("shift"));
        let attributes = old.attribute.clone();
        nodes.extend([
            node("ConvInteger", &[&bytes, &kernel.values.name, &zero], &sums, attributes),
            node("Cast", &[&sums], &floats, vec![int("to", ElementType::Float as i64)]),
            node("Mul", &[&floats, &factor], &scaled, vec![]),
            node("Add", &[&scaled, &shift], output, vec![]),
        ]);
        weights.push(kernel.values);
        weights.push(TensorProto::floats(factor, &[1, channels, 1, 1], &scales));
        weights.push(TensorProto::floats(shift, &[1, channels, 1, 1], &bias));
    }
    graph.node = nodes;
    graph.initializer.extend(weights);
    Ok(())
}
