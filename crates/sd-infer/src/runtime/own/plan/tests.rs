//! Graphs that are refused, and a ReLU that is a part of another step.

use super::*;
use prost::Message;
use sd_onnx::proto::ModelProto;
use sd_onnx::{Graph, float, int, ints};

fn bytes(graph: Graph) -> Vec<u8> {
    ModelProto { graph: Some(graph.finish()), ..ModelProto::default() }.encode_to_vec()
}

/// What is said of a graph that sends images `[2, 4, 4]` through one such node.
fn refusal(operator: &str, weights: &[&[i64]], attributes: Vec<AttributeProto>) -> String {
    let mut graph = Graph::new("one");
    let images = graph.input("images", &[2, 4, 4]);
    let weights: Vec<_> = weights
        .iter()
        .map(|dims| {
            let count = dims.iter().product::<i64>() as usize;
            graph.weight("weight", dims, &vec![0.5; count])
        })
        .collect();
    let inputs: Vec<_> = [&images].into_iter().chain(&weights).collect();
    let output = graph.node(operator, &inputs, attributes);
    graph.output(&output, "output", &[1]);
    let read = Plan::read(&bytes(graph));
    read.and_then(|plan| plan.run(plan.image()?)).err().unwrap_or_default()
}

#[test]
fn what_has_no_kernel_is_refused() {
    let kernel = || ints("kernel_shape", &[3, 3]);
    let conv: &[&[i64]] = &[&[2, 2, 3, 3]];
    assert_eq!(refusal("Conv", conv, vec![kernel()]), "");
    assert_eq!(refusal("MaxPool", &[], vec![kernel()]), "");
    for (operator, weights, attributes) in [
        ("Conv", conv, vec![kernel(), ints("dilations", &[2, 2])]),
        ("Conv", conv, vec![kernel(), int("auto_pad", 1)]),
        ("MaxPool", &[], vec![kernel(), int("ceil_mode", 1)]),
        ("AveragePool", &[], vec![kernel(), ints("pads", &[1; 4])]),
        ("Gemm", &[&[3, 2]], vec![float("alpha", 0.5)]),
        ("Softmax", &[], vec![]),
        ("Add", &[&[1]], vec![]),
        ("Transpose", &[], vec![ints("perm", &[0, 1, 3, 2])]),
    ] {
        let said = refusal(operator, weights, attributes);
        assert!(said.starts_with(operator) && said.contains("no kernel of ours"), "{said}");
    }
    let said = refusal("Gemm", &[&[2, 3]], vec![]);
    assert!(said.contains("does not take maps [H, W, C] of [[4, 4, 2]]"), "{said}");
}

/// `images` + 1, its ReLU, and the sum of both if `twice`.
fn relu(twice: bool) -> Vec<Vec<f32>> {
    let mut graph = Graph::new("relu");
    let images = graph.input("images", &[1, 1, 2]);
    let (weight, bias) =
        (graph.weight("w", &[1, 1, 1, 1], &[-1.0]), graph.weight("b", &[1], &[1.0]));
    let window = vec![ints("kernel_shape", &[1, 1])];
    let sum = graph.node("Conv", &[&images, &weight, &bias], window);
    let above = graph.node("Relu", &[&sum], vec![]);
    if twice {
        graph.output(&sum, "sum", &[1, 1, 2]);
    }
    graph.output(&above, "above", &[1, 1, 2]);
    let plan = Plan::read(&bytes(graph)).unwrap();
    assert_eq!(plan.steps.len(), if twice { 2 } else { 1 });
    let mut image = plan.image().unwrap();
    image.values = vec![0.5, 3.0];
    plan.run(image).unwrap().into_iter().map(|maps| maps.values).collect()
}

#[test]
fn a_relu_is_a_part_of_the_step_before_unless_that_is_an_output_too() {
    assert_eq!(relu(false), [[0.5, 0.0]]);
    assert_eq!(relu(true), [[0.5, -2.0], [0.5, 0.0]]);
}
