//! Refused graphs, fused ReLUs, 8-bit networks and the choice of convolution.

use super::*;
use crate::{Batch, Network, Options};
use sd_onnx::proto::AttributeProto;
use sd_onnx::quantize::{KERNEL, QuantFormat, Range, quantize, values_to_calibrate};
use sd_onnx::{Graph, Shapes, float, int, ints};

fn compile(graph: &GraphProto) -> Result<Plan> {
    let shapes = Shapes::new(graph)?;
    let (map, _) = shapes.infer(shapes.input_shape())?;
    Plan::new(graph, &map, 1 << 20)
}

fn load(graph: &GraphProto) -> Result<Network> {
    Network::from_graph(graph, Options::default())
}

fn run(plan: &Plan, shape: [usize; 3], values: Vec<f32>) -> Vec<Tensor> {
    let mut image = Tensor::zeros(1, shape).unwrap();
    image.values = values;
    plan.run(image, 0, None).unwrap()
}

fn message<T>(result: Result<T>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

/// Error message for a graph of one node on images `[2, 4, 4]`; empty if it loads and runs.
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
    let network = load(&graph.finish());
    let image = Batch::new(vec![1, 2, 4, 4], vec![0.0; 32]).unwrap();
    message(network.map(|network| network.run(image).unwrap()))
}

#[test]
fn unsupported_nodes_are_refused() {
    let kernel = || ints("kernel_shape", &[3, 3]);
    let conv: &[&[i64]] = &[&[2, 2, 3, 3]];
    assert_eq!(refusal("Conv", conv, vec![kernel()]), "");
    assert_eq!(refusal("MaxPool", &[], vec![kernel()]), "");
    for (operator, weights, attributes) in [
        ("Conv", conv, vec![kernel(), ints("dilations", &[2, 2])]),
        ("Conv", conv, vec![kernel(), int("auto_pad", 1)]),
        ("MaxPool", &[], vec![kernel(), int("ceil_mode", 1)]),
        ("AveragePool", &[], vec![kernel(), ints("pads", &[1; 4])]),
        ("Softmax", &[], vec![]),
        ("Add", &[&[1]], vec![]),
        ("Transpose", &[], vec![ints("perm", &[0, 1, 3, 2])]),
    ] {
        let error = refusal(operator, weights, attributes);
        assert!(error.starts_with(operator) && error.ends_with("no native kernel"), "{error}");
    }
    let mut graph = Graph::new("scaled");
    let images = graph.input("images", &[2, 4, 4]);
    let rows = graph.node("Flatten", &[&images], vec![int("axis", 1)]);
    let weight = graph.weight("weight", &[32, 3], &[0.5; 96]);
    let logits = graph.node("Gemm", &[&rows, &weight], vec![float("alpha", 0.5)]);
    graph.output(&logits, "logits", &[3]);
    let error = message(load(&graph.finish()));
    assert_eq!(error, "Gemm gemm_1_node: no native kernel");
    let error = refusal("Gemm", &[&[2, 3]], vec![]);
    assert!(error.ends_with("unsupported input shapes [[1, 2, 4, 4], [2, 3]]"), "{error}");
}

/// Outputs of `relu(1 - images)`, and of `1 - images` too if `both`.
fn relu_outputs(both: bool) -> Vec<Vec<f32>> {
    let mut graph = Graph::new("relu");
    let images = graph.input("images", &[1, 1, 2]);
    let (weight, bias) =
        (graph.weight("w", &[1, 1, 1, 1], &[-1.0]), graph.weight("b", &[1], &[1.0]));
    let window = vec![ints("kernel_shape", &[1, 1])];
    let sum = graph.node("Conv", &[&images, &weight, &bias], window);
    let above = graph.node("Relu", &[&sum], vec![]);
    if both {
        graph.output(&sum, "sum", &[1, 1, 2]);
    }
    graph.output(&above, "above", &[1, 1, 2]);
    let plan = compile(&graph.finish()).unwrap();
    assert_eq!(plan.steps.len(), if both { 2 } else { 1 });
    run(&plan, [1, 2, 1], vec![0.5, 3.0]).into_iter().map(|tensor| tensor.values).collect()
}

#[test]
fn a_relu_is_fused_unless_its_input_is_an_output_too() {
    assert_eq!(relu_outputs(false), [[0.5, 0.0]]);
    assert_eq!(relu_outputs(true), [[0.5, -2.0], [0.5, 0.0]]);
}

/// `images` [2, 4, 4] → 1×1 → ReLU → depthwise 3×3 → 1×1 → pooling → linear, quantised as `format`.
fn network(format: Option<QuantFormat>) -> GraphProto {
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
    if let Some(format) = format {
        let names = values_to_calibrate(&graph, format);
        let ranges = names.into_iter().map(|name| (name, Range::new(0.0, 12.0))).collect();
        quantize(&mut graph, &ranges, format).unwrap();
    }
    graph
}

fn logits(plan: &Plan) -> Vec<f32> {
    let values = (0..32).map(|at| (at * 31 % 17) as f32 / 8.0 - 1.0).collect();
    run(plan, [4, 4, 2], values).swap_remove(0).values
}

#[test]
fn logits_of_an_8_bit_network_are_close_to_f32() {
    let floats = compile(&network(None)).unwrap();
    let bytes = compile(&network(Some(QuantFormat::ConvInteger))).unwrap();
    // Quantisation, scaling and ReLUs are fused.
    assert_eq!((floats.steps.len(), bytes.steps.len()), (6, 6));
    let is_int8 = |step: &&Step| matches!(step.operation, Operation::Int8Convolution(_));
    assert_eq!(bytes.steps.iter().filter(is_int8).count(), 1, "the last convolution");
    let (exact, rounded) = (logits(&floats), logits(&bytes));
    assert_ne!(exact, rounded);
    for (exact, rounded) in exact.iter().zip(&rounded) {
        assert!((exact - rounded).abs() < 0.05 * exact.abs(), "{exact} {rounded}");
    }
    let error = message(compile(&network(Some(QuantFormat::Qdq))));
    assert!(error.ends_with("no native kernel"), "{error}");
}

#[test]
fn int8_convolutions_without_scaling_are_refused() {
    let index_of = |graph: &GraphProto, operator: &str| {
        graph.node.iter().position(|node| node.op_type == operator).unwrap()
    };
    for operator in ["QuantizeLinear", "Cast", "Mul", "Add"] {
        let mut graph = network(Some(QuantFormat::ConvInteger));
        let index = index_of(&graph, operator);
        graph.node[index].op_type = "Identity".to_owned();
        let error = message(compile(&graph));
        assert!(error.ends_with("no native kernel"), "{operator}: {error}");
    }
    // Sums that are an output themselves cannot be fused.
    let mut graph = network(Some(QuantFormat::ConvInteger));
    let index = index_of(&graph, "Cast");
    graph.output[0].name = graph.node[index].output[0].clone();
    let error = message(compile(&graph));
    assert!(error.starts_with("ConvInteger"), "{error}");
}

#[test]
fn empty_inputs_are_refused() {
    let refusal = |operator: &str, sides: [i64; 3], attributes: Vec<AttributeProto>| {
        let mut graph = Graph::new("empty");
        let images = graph.input("images", &sides);
        let output = graph.node(operator, &[&images], attributes);
        graph.output(&output, "output", &[1]);
        message(load(&graph.finish()))
    };
    let window = vec![ints("kernel_shape", &[1, 1])];
    for (operator, sides, attributes) in
        [("MaxPool", [0, 1 << 31, 1 << 31], window), ("GlobalAveragePool", [1 << 40, 0, 1], vec![])]
    {
        let error = refusal(operator, sides, attributes);
        assert!(error.starts_with("unsupported input shape"), "{error}");
    }
}

#[test]
fn one_value_as_two_outputs_is_refused() {
    let mut graph = Graph::new("twice");
    let images = graph.input("images", &[1, 1, 2]);
    let above = graph.node("Relu", &[&images], vec![]);
    graph.output(&above, "above", &[1, 1, 2]);
    let mut graph = graph.finish();
    graph.output.push(graph.output[0].clone());
    let error = message(compile(&graph));
    assert!(error.ends_with("the same value as two outputs"), "{error}");
}

#[test]
fn winograd_is_chosen_for_dense_convolutions_of_large_maps() {
    // The size of the map is inferred through pooling and a product.
    let is_winograd = |side: i64| {
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
        let plan = compile(&graph.finish()).unwrap();
        format!("{:?}", plan.steps.last().unwrap().operation).contains("Winograd")
    };
    assert!(is_winograd(16) && !is_winograd(8));
}

/// Before a weight is packed or a kernel runs.
#[test]
fn weights_activations_and_work_stay_within_their_limits() {
    let with = |graph: &GraphProto, max_memory: usize, max_work: u64| {
        let options = Options { max_memory, max_work, ..Options::default() };
        message(Network::from_graph(graph, options))
    };
    let error = with(&network(None), 1 << 10, 1 << 35);
    assert!(error.ends_with("bytes, expected at most 1024 (max_memory)"), "{error}");
    let error = with(&network(None), 1 << 20, 1000);
    assert!(error.ends_with("expected at most 1000 (max_work)"), "{error}");
    let mut graph = Graph::new("sum");
    let images = graph.input("images", &[1, 64, 64]);
    let sum = graph.node("Add", &[&images, &images], vec![]);
    graph.output(&sum, "sum", &[1, 64, 64]);
    let graph = graph.finish();
    assert_eq!(with(&graph, 1 << 15, 1 << 35), "");
    assert!(with(&graph, (1 << 15) - 1, 1 << 35).contains("max_memory"));
    // Larger images than the declared ones count as such.
    let options = Options { max_memory: 1 << 15, ..Options::default() };
    let network = Network::from_graph(&graph, options).unwrap();
    let sized = |side: usize| {
        message(network.run(Batch::new(vec![1, 1, side, 64], vec![1.0; side * 64]).unwrap()))
    };
    assert_eq!(sized(32), "");
    assert!(sized(65).contains("max_memory"), "{}", sized(65));
}

#[test]
fn a_run_beyond_its_deadline_names_the_next_node() {
    let network = load(&network(None)).unwrap();
    let image = Batch::new(vec![1, 2, 4, 4], vec![0.0; 32]).unwrap();
    let error = message(network.run_until(image, Some(Instant::now())));
    assert_eq!(error, "the deadline passed before Conv conv_1_node");
}

/// What other engines may support is refused when the file is loaded, not when it runs.
#[test]
fn shapes_without_a_kernel_are_refused_at_load() {
    let refused =
        |operator: &str, build: fn(&mut Graph, &sd_onnx::Value) -> [sd_onnx::Value; 2]| {
            let mut graph = Graph::new("shapes");
            let images = graph.input("images", &[2, 4, 4]);
            let [a, b] = build(&mut graph, &images);
            let output = graph.node(operator, &[&a, &b], vec![]);
            graph.output(&output, "output", &[1]);
            matches!(load(&graph.finish()), Err(Error::Shape { .. }))
        };
    // [2, 1, 4] and [2, 4, 1] are each broadcast to the other.
    assert!(refused("Add", |graph, images| {
        [(4, 1), (1, 4)].map(|(rows, columns)| {
            let window = vec![ints("kernel_shape", &[rows, columns])];
            graph.node("MaxPool", &[images], window)
        })
    }));
    // A vector is aligned with the last axes.
    assert!(refused("Mul", |graph, images| {
        let mean = graph.node("GlobalAveragePool", &[images], vec![]);
        let vector = graph.node("Flatten", &[&mean], vec![int("axis", 1)]);
        [mean, vector]
    }));
    assert!(refused("Mean", |graph, images| {
        [graph.node("GlobalAveragePool", &[images], vec![]), images.clone()]
    }));
    assert!(!refused("Add", |graph, images| {
        [graph.node("GlobalAveragePool", &[images], vec![]), images.clone()]
    }));
}

/// Efficient channel attention on images `[16, 4, 4]`, as a product with a banded matrix or, as older
/// files have it, as a convolution of a map of one column.
fn channel_attention(is_product: bool) -> Plan {
    let (kernel, channels) = ([0.5, -1.0, 2.0], 16);
    let mut graph = Graph::new("attention");
    let images = graph.input("images", &[16, 4, 4]);
    let means = graph.node("GlobalAveragePool", &[&images], vec![]);
    let mixed = if is_product {
        let means = graph.node("Flatten", &[&means], vec![int("axis", 1)]);
        let tap = |place: i64| *kernel.get((place / 16 - place % 16 + 1) as usize).unwrap_or(&0.0);
        let values: Vec<f32> = (0..channels * channels).map(tap).collect();
        let bands = graph.weight("bands", &[channels; 2], &values);
        let mixed = graph.node("MatMul", &[&means, &bands], vec![]);
        let sides = graph.longs("sides", &[0, channels, 1, 1]);
        graph.node("Reshape", &[&mixed, &sides], vec![])
    } else {
        let turned = || vec![ints("perm", &[0, 2, 1, 3])];
        let column = graph.node("Transpose", &[&means], turned());
        let weight = graph.weight("weight", &[1, 1, 3, 1], &kernel);
        let window = vec![ints("kernel_shape", &[3, 1]), ints("pads", &[1, 0, 1, 0])];
        let mixed = graph.node("Conv", &[&column, &weight], window);
        graph.node("Transpose", &[&mixed], turned())
    };
    let weights = graph.node("Sigmoid", &[&mixed], vec![]);
    let map = graph.node("Mul", &[&images, &weights], vec![]);
    graph.output(&map, "map", &[16, 4, 4]);
    compile(&graph.finish()).unwrap()
}

#[test]
fn both_forms_of_channel_attention_are_equal() {
    let values: Vec<f32> = (0..256).map(|at| (at * 31 % 17) as f32 / 8.0 - 1.0).collect();
    let [old, new] = [false, true].map(|is_product| {
        let plan = channel_attention(is_product);
        assert_eq!(plan.steps.len(), 6);
        run(&plan, [4, 4, 16], values.clone()).swap_remove(0)
    });
    assert_eq!(new.shape(), old.shape());
    for (new, old) in new.values.iter().zip(&old.values) {
        assert!((new - old).abs() < 1e-6, "{new} {old}");
    }
}

#[test]
fn a_dense_product_and_a_constant_factor_are_computed() {
    let mut graph = Graph::new("product");
    let images = graph.input("images", &[2, 1, 1]);
    let vectors = graph.node("Flatten", &[&images], vec![int("axis", 1)]);
    let matrix = graph.weight("matrix", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let product = graph.node("MatMul", &[&vectors, &matrix], vec![]);
    let half = graph.weight("half", &[], &[0.5]);
    let mean = graph.node("Mul", &[&product, &half], vec![]);
    graph.output(&mean, "mean", &[3]);
    let plan = compile(&graph.finish()).unwrap();
    assert_eq!(run(&plan, [1, 1, 2], vec![1.0, 10.0])[0].values, [20.5, 26.0, 31.5]);
}
