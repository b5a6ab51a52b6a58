//! Folding of batch norms into convolutions.

use std::collections::HashMap;

use crate::proto::{GraphProto, NodeProto, TensorProto};
use crate::{Error, Result};

/// Folds each batch norm that is the only use of a convolution into its weights and biases. With γ, β,
/// μ, σ² and ε:
///
/// ```text
/// W' = W · γ/√(σ² + ε)        b' = β + (b − μ) · γ/√(σ² + ε)
/// ```
///
/// # Errors
/// [`Error::Tensor`] if a weight has an unexpected type or shape.
pub fn fold_batch_norms(graph: &mut GraphProto) -> Result<()> {
    while let Some((convolution, norm)) = next_pair(graph) {
        let values = |name: &String| find(graph, name)?.to_floats();
        let inputs = &graph.node[norm].input;
        let [gamma, beta, mean, variance] =
            [values(&inputs[1])?, values(&inputs[2])?, values(&inputs[3])?, values(&inputs[4])?];
        let epsilon = graph.node[norm].attribute.iter().find(|known| known.name == "epsilon");
        let epsilon = f64::from(epsilon.and_then(|known| known.f).unwrap_or(1e-5));
        let weight_name = graph.node[convolution].input[1].clone();
        let weight = find(graph, &weight_name)?;
        let (dims, mut kernel) = (weight.dims.clone(), weight.to_floats()?);
        let bias = match graph.node[convolution].input.get(2) {
            Some(name) => values(name)?,
            None => vec![0.0; gamma.len()],
        };
        let channels = gamma.len();
        if channels == 0
            || [beta.len(), mean.len(), variance.len(), bias.len()] != [channels; 4]
            || dims.first() != Some(&(channels as i64))
        {
            return Err(wrong(weight, format!("shape {dims:?} before {channels} channels")));
        }
        let mut shift = Vec::with_capacity(channels);
        let each = kernel.len() / channels;
        for (channel, kernel) in kernel.chunks_exact_mut(each.max(1)).enumerate() {
            let deviation = (f64::from(variance[channel]) + epsilon).sqrt();
            let scale = f64::from(gamma[channel]) / deviation;
            for value in kernel {
                *value = (f64::from(*value) * scale) as f32;
            }
            let centred = f64::from(bias[channel]) - f64::from(mean[channel]);
            shift.push((f64::from(beta[channel]) + centred * scale) as f32);
        }
        let removed = graph.node.remove(norm);
        replace(graph, TensorProto::floats(&weight_name, &dims, &kernel));
        // The bias takes the name of the norm's shift.
        replace(graph, TensorProto::floats(&removed.input[2], &[channels as i64], &shift));
        let node = &mut graph.node[convolution];
        node.input = vec![node.input[0].clone(), weight_name, removed.input[2].clone()];
        node.output = removed.output;
    }
    drop_unused(graph);
    Ok(())
}

/// A convolution and the batch norm that is its only use.
fn next_pair(graph: &GraphProto) -> Option<(usize, usize)> {
    let mut users = HashMap::<&str, usize>::new();
    for name in graph.node.iter().flat_map(|node| &node.input) {
        *users.entry(name).or_default() += 1;
    }
    for output in &graph.output {
        *users.entry(&output.name).or_default() += 1;
    }
    graph.node.iter().enumerate().find_map(|(norm, node)| {
        let input = node.input.first()?;
        if node.op_type != "BatchNormalization" || node.input.len() != 5 || users[&**input] != 1 {
            return None;
        }
        let is_source =
            |node: &NodeProto| node.op_type == "Conv" && node.output.first() == Some(input);
        let convolution = graph.node.iter().position(is_source)?;
        // Weights that convolutions share cannot be scaled for one of them.
        (users[&*graph.node[convolution].input[1]] == 1).then_some((convolution, norm))
    })
}

pub(crate) fn find<'a>(graph: &'a GraphProto, name: &str) -> Result<&'a TensorProto> {
    graph
        .initializer
        .iter()
        .find(|tensor| tensor.name == name)
        .ok_or_else(|| Error::Tensor { name: name.to_owned(), found: "no such weight".to_owned() })
}

fn wrong(tensor: &TensorProto, found: String) -> Error {
    Error::Tensor { name: tensor.name.clone(), found }
}

fn replace(graph: &mut GraphProto, tensor: TensorProto) {
    for known in graph.initializer.iter_mut().filter(|known| known.name == tensor.name) {
        known.clone_from(&tensor);
    }
}

/// Removes unused weights.
pub(crate) fn drop_unused(graph: &mut GraphProto) {
    let used: std::collections::HashSet<&str> =
        graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    graph.initializer.retain(|tensor| used.contains(&*tensor.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, float};

    fn graph(has_other_use: bool) -> GraphProto {
        let mut graph = Graph::new("fold");
        let input = graph.input("images", &[1, 1, 1]);
        let weight = graph.weight("weight", &[2, 1, 1, 1], &[1.0, 3.0]);
        let map = graph.node("Conv", &[&input, &weight], vec![]);
        let norm = [[2.0, 3.0], [0.5, 0.0], [1.0, 2.0], [15.0, 3.0]]
            .map(|values| graph.weight("norm", &[2], &values));
        let [gamma, beta, mean, variance] = &norm;
        let inputs = [&map, gamma, beta, mean, variance];
        let normed = graph.node("BatchNormalization", &inputs, vec![float("epsilon", 1.0)]);
        let output = graph.node("Relu", &[&normed], vec![]);
        graph.output(&output, "logits", &[2, 1, 1]);
        if has_other_use {
            graph.output(&map, "map", &[2, 1, 1]);
        }
        graph.finish()
    }

    #[test]
    fn weights_are_scaled_and_the_shift_becomes_the_bias() {
        let mut graph = graph(false);
        fold_batch_norms(&mut graph).unwrap();
        let operators: Vec<&str> = graph.node.iter().map(|node| &*node.op_type).collect();
        assert_eq!(operators, ["Conv", "Relu"]);
        assert_eq!(graph.node[1].input, graph.node[0].output);
        let [_, weight, bias] = &*graph.node[0].input else { panic!("{:?}", graph.node[0]) };
        // γ/√(σ²+ε) is 2/√16 and 3/√4; β − μ·that is 0.5 − 0.5 and 0 − 3.
        assert_eq!(find(&graph, weight).unwrap().to_floats().unwrap(), [0.5, 4.5]);
        assert_eq!(find(&graph, bias).unwrap().to_floats().unwrap(), [0.0, -3.0]);
        assert_eq!(graph.initializer.len(), 2);
    }

    #[test]
    fn a_batch_norm_is_kept_if_the_convolution_has_another_use() {
        let mut graph = graph(true);
        let before = graph.clone();
        fold_batch_norms(&mut graph).unwrap();
        assert_eq!(graph, before);
    }
}
