//! Shapes of every operator, and the footprint of small and crafted graphs.

use super::*;
use crate::proto::{AttributeProto, ElementType};
use crate::{Graph, Value, int, ints, string};

/// Shape of the output of one node on images `[2, 6, 4]` and these constants.
fn output(
    operator: &str,
    constants: &[Value],
    attributes: Vec<AttributeProto>,
    mut graph: Graph,
) -> Result<Vec<usize>> {
    let images = graph.input("images", &[2, 6, 4]);
    let inputs: Vec<&Value> = [&images].into_iter().chain(constants).collect();
    let value = graph.node(operator, &inputs, attributes);
    let name = value.name().to_owned();
    let graph = graph.finish();
    let shapes = Shapes::new(&graph)?;
    let (shapes, _) = shapes.infer(shapes.input_shape())?;
    Ok(shapes[&*name].clone())
}

#[test]
fn shapes_of_every_operator_are_inferred() {
    let plain = |operator: &str, attributes| {
        output(operator, &[], attributes, Graph::new("one")).unwrap_or_default()
    };
    let longs = |operator: &str, lists: &[&[i64]], attributes| {
        let mut graph = Graph::new("one");
        let constants: Vec<_> = lists.iter().map(|list| graph.longs("list", list)).collect();
        output(operator, &constants, attributes, graph).unwrap_or_default()
    };
    let weights = |operator: &str, dims: &[&[i64]], attributes| {
        let mut graph = Graph::new("one");
        let weight = |dims: &&[i64]| {
            let count = dims.iter().product::<i64>() as usize;
            graph.weight("weight", dims, &vec![2.0; count])
        };
        let constants: Vec<_> = dims.iter().map(weight).collect();
        output(operator, &constants, attributes, graph).unwrap_or_default()
    };
    let same = [1, 2, 6, 4];
    for operator in ["Relu", "Sigmoid", "Sqrt", "HardSwish", "Cast", "Clip", "Mean"] {
        assert_eq!(plain(operator, vec![]), same, "{operator}");
    }
    let window = || vec![ints("kernel_shape", &[3, 2]), ints("strides", &[2, 1])];
    let padded = || [window(), vec![ints("pads", &[1, 0, 0, 1])]].concat();
    assert_eq!(plain("MaxPool", window()), [1, 2, 2, 3]);
    assert_eq!(plain("AveragePool", padded()), [1, 2, 3, 4]);
    assert_eq!(weights("Conv", &[&[5, 2, 3, 2]], padded()), [1, 5, 3, 4]);
    assert_eq!(weights("Conv", &[&[4, 1, 3, 2]], vec![int("group", 2)]), [1, 4, 4, 3]);
    assert_eq!(weights("Conv", &[&[4, 1, 3, 2]], vec![]), [0; 0], "other channels");
    assert_eq!(weights("Conv", &[&[4, 2, 7, 2]], vec![]), [0; 0], "a larger kernel");
    let stride = vec![ints("strides", &[2, 2])];
    assert_eq!(weights("ConvTranspose", &[&[2, 3, 4, 4]], stride), [1, 3, 14, 10]);
    assert_eq!(plain("GlobalAveragePool", vec![]), [1, 2, 1, 1]);
    assert_eq!(plain("Flatten", vec![int("axis", 1)]), [1, 48]);
    assert_eq!(plain("Transpose", vec![ints("perm", &[0, 2, 1, 3])]), [1, 6, 2, 4]);
    assert_eq!(plain("Transpose", vec![ints("perm", &[0, 2, 2, 3])]), [0; 0]);
    assert_eq!(plain("Concat", vec![int("axis", 1)]), same);
    for operator in ["ReduceMean", "ReduceMax"] {
        assert_eq!(plain(operator, vec![ints("axes", &[-1, 1])]), [1, 1, 6, 1]);
    }
    assert_eq!(longs("Reshape", &[&[0, 4, -1]], vec![]), [1, 4, 12]);
    assert_eq!(longs("Reshape", &[&[0, 5, -1]], vec![]), [0; 0]);
    assert_eq!(longs("Expand", &[&[7, 1, 1, 1]], vec![]), [7, 2, 6, 4]);
    assert_eq!(longs("Slice", &[&[1, -3], &[9, -1], &[2, 3]], vec![]), [1, 2, 5, 2]);
    assert_eq!(longs("Slice", &[&[4], &[2], &[2]], vec![]), [0; 0], "no values");
    assert_eq!(longs("Pad", &[&[0, 0, 1, 2, 0, 0, 3, 4]], vec![]), [1, 2, 10, 10]);
    assert_eq!(longs("Split", &[&[2]], vec![int("axis", 1)]), same);
    for operator in ["Add", "Sub", "Mul", "Div"] {
        assert_eq!(weights(operator, &[&[3, 2, 1, 4]], vec![]), [3, 2, 6, 4]);
        assert_eq!(weights(operator, &[&[3, 1, 1]], vec![]), [0; 0]);
    }
    let mut graph = Graph::new("multiplied");
    let images = graph.input("images", &[2, 6, 4]);
    let rows = graph.node("Flatten", &[&images], vec![int("axis", 1)]);
    let matrix = graph.weight("matrix", &[48, 3], &[1.0; 144]);
    let product = graph.node("MatMul", &[&rows, &matrix], vec![]);
    let graph = graph.finish();
    let shapes = Shapes::new(&graph).unwrap();
    let (shapes, footprint) = shapes.infer(shapes.input_shape()).unwrap();
    assert_eq!(shapes[product.name()], [1, 3]);
    assert_eq!(footprint.weights, 48 * 16 * 4);
    let mut graph = Graph::new("resized");
    let scales = graph.weight("scales", &[4], &[1.0, 1.0, 2.0, 1.5]);
    let resized = output("Resize", &[Value::none(), scales], vec![], graph).unwrap();
    assert_eq!(resized, [1, 2, 12, 6]);
}

#[test]
fn operators_whose_shapes_depend_on_values_are_named() {
    for (operator, attribute) in [
        ("Softmax", int("axis", 1)),
        ("MaxPool", string("auto_pad", "SAME_UPPER")),
        ("MaxPool", int("ceil_mode", 1)),
        ("Conv", ints("dilations", &[2, 2])),
        ("Conv", ints("strides", &[0, 1])),
        ("Conv", ints("pads", &[1 << 40; 4])),
    ] {
        let error = output(operator, &[], vec![attribute], Graph::new("one")).unwrap_err();
        let expected = format!("{operator} {}_1_node: the shape of its", operator.to_lowercase());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

fn footprint(graph: &GraphProto) -> Footprint {
    let shapes = Shapes::new(graph).unwrap();
    shapes.infer(shapes.input_shape()).unwrap().1
}

#[test]
fn values_are_freed_after_their_last_use() {
    let chain = |nodes: usize| {
        let mut graph = Graph::new("chain");
        let mut value = graph.input("images", &[1, 8, 8]);
        for _ in 0..nodes {
            value = graph.node("Relu", &[&value], vec![]);
        }
        graph.output(&value, "map", &[1, 8, 8]);
        footprint(&graph.finish())
    };
    assert_eq!((chain(3).activations, chain(3).all_values), (2 * 256, 4 * 256));
    assert_eq!((chain(30).activations, chain(30).all_values), (2 * 256, 31 * 256));
}

#[test]
fn packed_weights_and_products_are_counted_in_whole_vectors() {
    let dense = |outputs: i64| {
        let mut graph = Graph::new("dense");
        let images = graph.input("images", &[2, 8, 8]);
        let count = (outputs * 2 * 9) as usize;
        let weight = graph.weight("weight", &[outputs, 2, 3, 3], &vec![0.5; count]);
        let map = graph.node("Conv", &[&images, &weight], vec![ints("kernel_shape", &[3, 3])]);
        graph.output(&map, "map", &[outputs, 6, 6]);
        footprint(&graph.finish())
    };
    // 16 outputs · 2 inputs · 16 elements · 4 bytes.
    assert_eq!((dense(1).weights, dense(16).weights, dense(17).weights), (2048, 2048, 4096));
    let macs = 36 * 16 * 18;
    assert!(dense(1).work > macs && dense(17).work > 2 * macs);
}

#[test]
fn crafted_graphs_exceed_a_limit_before_they_run() {
    let refusal = |graph: &GraphProto| {
        let footprint = footprint(graph);
        footprint.check(footprint.all_values, 1 << 29, 1 << 35).unwrap_err().to_string()
    };
    let mut graph = Graph::new("expanded");
    let images = graph.input("images", &[1, 1, 1]);
    let sides = graph.longs("sides", &[1, 1, 1 << 20, 1 << 20]);
    let map = graph.node("Expand", &[&images, &sides], vec![]);
    graph.output(&map, "map", &[1]);
    let error = refusal(&graph.finish());
    assert!(error.ends_with("expected at most 536870912 (max_memory)"), "{error}");

    let mut graph = Graph::new("pools");
    let mut value = graph.input("images", &[3, 512, 512]);
    let pads = ints("pads", &[32, 32, 31, 31]);
    for _ in 0..3 {
        value =
            graph.node("MaxPool", &[&value], vec![ints("kernel_shape", &[64, 64]), pads.clone()]);
    }
    graph.output(&value, "map", &[1]);
    let error = refusal(&graph.finish());
    assert!(error.ends_with("expected at most 34359738368 (max_work)"), "{error}");

    // A short name for each of the inputs, which are broadcast.
    let mut graph = Graph::new("mean");
    let images = graph.input("images", &[1, 64, 64]);
    let weight = graph.weight("w", &[1], &[0.5]);
    let map = graph.node("Mean", &[&[&images][..], &vec![&weight; 300_000]].concat(), vec![]);
    graph.output(&map, "map", &[1, 64, 64]);
    let error = refusal(&graph.finish());
    assert!(error.ends_with("expected at most 34359738368 (max_work)"), "{error}");
}

#[test]
fn contradictory_inputs_and_weights_are_refused() {
    let mut graph = Graph::new("two");
    graph.input("a", &[1]);
    let mut graph = graph.finish();
    let message = |graph: &GraphProto| Shapes::new(graph).unwrap_err().to_string();
    graph.initializer.push(TensorProto::new("short", &[2], ElementType::Float, vec![0; 4]));
    assert!(message(&graph).starts_with("the tensor short: found type FLOAT, shape [2], 4 bytes"));
    graph.initializer[0].dims = vec![1; 9];
    assert!(message(&graph).contains("shape [1, 1, 1, 1, 1, 1, 1, 1, 1]"));
    graph.initializer.clear();
    assert!(Shapes::new(&graph).is_ok());
    graph.input.push(graph.input[0].clone());
    assert!(message(&graph).contains("found 2 inputs"));
    graph.input.pop();
    graph.node = vec![NodeProto::default(); MAX_NODES + 1];
    assert_eq!(message(&graph), "the graph: found 8193 nodes, expected at most 8192");
}
