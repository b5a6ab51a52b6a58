//! Graphs that are refused, and a ReLU that is a part of another step.

use super::*;
use prost::Message;
use sd_onnx::proto::{AttributeProto, ModelProto};
use sd_onnx::quantize::{Form, KERNEL, Range, quantize, values_to_measure};
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
    plan.run(image).unwrap().0.into_iter().map(|maps| maps.values).collect()
}

#[test]
fn a_relu_is_a_part_of_the_step_before_unless_that_is_an_output_too() {
    assert_eq!(relu(false), [[0.5, 0.0]]);
    assert_eq!(relu(true), [[0.5, -2.0], [0.5, 0.0]]);
}

/// `images` [2, 4, 4] → 1×1 → ReLU → depthwise 3×3 → 1×1 → pooled → linear, as `form` has it.
fn network(form: Option<Form>) -> Vec<u8> {
    let mut graph = Graph::new("network");
    let images = graph.input("images", &[2, 4, 4]);
    let mut seed = 0;
    let mut weight = |graph: &mut Graph, name: &str, dims: &[i64]| {
        seed += 1;
        let count = dims.iter().product::<i64>() as usize;
        let number = |at: usize| ((at * 7919 + seed) % 13) as f32 / 6.0 - 1.0;
        graph.weight(name, dims, &(0..count).map(number).collect::<Vec<_>>())
    };
    let mut value = images;
    for (dims, groups) in [([6, 2, 1, 1], 1), ([6, 1, 3, 3], 6), ([20, 6, 1, 1], 1)] {
        let kernel = weight(&mut graph, KERNEL, &dims);
        let bias = weight(&mut graph, "bias", &dims[..1]);
        let (sides, border) = (dims[2], dims[2] / 2);
        let attributes = vec![
            int("group", groups),
            ints("kernel_shape", &[sides, sides]),
            ints("pads", &[border; 4]),
        ];
        let map = graph.node("Conv", &[&value, &kernel, &bias], attributes);
        value = graph.node("Relu", &[&map], vec![]);
    }
    let mean = graph.node("GlobalAveragePool", &[&value], vec![]);
    let vector = graph.node("Flatten", &[&mean], vec![int("axis", 1)]);
    let matrix = weight(&mut graph, "matrix", &[3, 20]);
    let bias = weight(&mut graph, "bias", &[3]);
    let logits = graph.node("Gemm", &[&vector, &matrix, &bias], vec![int("transB", 1)]);
    graph.output(&logits, "logits", &[3]);
    let mut graph = graph.finish();
    if let Some(form) = form {
        let names = values_to_measure(&graph, form);
        let ranges = names.into_iter().map(|name| (name, Range::new(0.0, 12.0))).collect();
        quantize(&mut graph, &ranges, form).unwrap();
    }
    ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

fn logits(plan: &Plan) -> Vec<f32> {
    let mut image = plan.image().unwrap();
    image.values = (0..32).map(|at| (at * 31 % 17) as f32 / 8.0 - 1.0).collect();
    plan.run(image).unwrap().0[0].values.clone()
}

#[test]
fn a_network_in_whole_numbers_says_nearly_what_it_says_in_floats() {
    let floats = Plan::read(&network(None)).unwrap();
    let bytes = Plan::read(&network(Some(Form::ConvInteger))).unwrap();
    // Rounding, scaling and ReLUs are parts of other steps.
    assert_eq!((floats.steps.len(), bytes.steps.len()), (6, 6));
    let of_bytes = |step: &&Step| matches!(step.operation, Operation::Bytes(_));
    assert_eq!(bytes.steps.iter().filter(of_bytes).count(), 1, "the last convolution");
    let (exact, rounded) = (logits(&floats), logits(&bytes));
    assert_ne!(exact, rounded);
    for (exact, rounded) in exact.iter().zip(&rounded) {
        assert!((exact - rounded).abs() < 0.05 * exact.abs(), "{exact} {rounded}");
    }
    let said = Plan::read(&network(Some(Form::Qdq))).unwrap_err();
    assert!(said.contains("no kernel of ours"), "{said}");
}

#[test]
fn whole_numbers_that_nothing_scales_are_refused() {
    let decode = || ModelProto::decode(&*network(Some(Form::ConvInteger))).unwrap();
    let place = |model: &ModelProto, operator: &str| {
        let nodes = &model.graph.as_ref().unwrap().node;
        nodes.iter().position(|node| node.op_type == operator).unwrap()
    };
    for operator in ["QuantizeLinear", "Cast", "Mul", "Add"] {
        let mut model = decode();
        let at = place(&model, operator);
        let node = &mut model.graph.as_mut().unwrap().node[at];
        node.op_type = "Identity".to_owned();
        let said = Plan::read(&model.encode_to_vec()).unwrap_err();
        assert!(said.contains("no kernel of ours"), "{operator}: {said}");
    }
    // Sums that are an output as well cannot be a part of a step.
    let mut model = decode();
    let at = place(&model, "Cast");
    let graph = model.graph.as_mut().unwrap();
    graph.output[0].name = graph.node[at].output[0].clone();
    let said = Plan::read(&model.encode_to_vec()).unwrap_err();
    assert!(said.starts_with("ConvInteger"), "{said}");
}

#[test]
fn maps_without_numbers_are_refused() {
    let no_kernel = |operator: &str, sides: [i64; 3], attributes: Vec<AttributeProto>| {
        let mut graph = Graph::new("empty");
        let images = graph.input("images", &sides);
        let output = graph.node(operator, &[&images], attributes);
        graph.output(&output, "output", &[1]);
        Plan::read(&bytes(graph)).and_then(|plan| plan.image()).unwrap_err()
    };
    let window = vec![ints("kernel_shape", &[1, 1])];
    for (operator, sides, attributes) in
        [("MaxPool", [0, 1 << 31, 1 << 31], window), ("GlobalAveragePool", [1 << 40, 0, 1], vec![])]
    {
        let said = no_kernel(operator, sides, attributes);
        assert!(said.contains("too large"), "{said}");
    }
}

#[test]
fn a_value_that_is_two_outputs_is_refused() {
    let mut graph = Graph::new("twice");
    let images = graph.input("images", &[1, 1, 2]);
    let above = graph.node("Relu", &[&images], vec![]);
    graph.output(&above, "above", &[1, 1, 2]);
    let mut graph = graph.finish();
    graph.output.push(graph.output[0].clone());
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    let said = Plan::read(&model.encode_to_vec()).unwrap_err();
    assert!(said.contains("two outputs"), "{said}");
}

#[test]
fn dense_convolutions_of_large_maps_are_computed_in_tiles() {
    // The size of the map reaches the convolution through a pool and a product.
    let tiles = |side: i64| {
        let mut graph = Graph::new("dense");
        let images = graph.input("images", &[16, side, side]);
        let two = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
        let pooled = graph.node("MaxPool", &[&images], two);
        let mean = graph.node("GlobalAveragePool", &[&pooled], vec![]);
        let scaled = graph.node("Mul", &[&pooled, &mean], vec![]);
        let weight = graph.weight("w", &[16, 16, 3, 3], &[0.5; 16 * 16 * 9]);
        let three = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
        let map = graph.node("Conv", &[&scaled, &weight], three);
        graph.output(&map, "map", &[16, side / 2, side / 2]);
        let plan = Plan::read(&bytes(graph)).unwrap();
        format!("{:?}", plan.steps.last().unwrap().operation).contains("Winograd")
    };
    assert!(tiles(16) && !tiles(8));
}
