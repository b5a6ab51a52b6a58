//! Tensors, windows and common nodes in ONNX form.

use sd_onnx::proto::AttributeProto;
use sd_onnx::{Graph, Value, int, ints};
use tch::{Device, Kind, Tensor};

use crate::shape::{FeatureShape, Window};

/// The tensor's values as a weight of shape `dims`; `role` is the first part of its name.
///
/// # Panics
/// If the tensor does not fill `dims`.
pub(crate) fn weight(graph: &mut Graph, role: &str, dims: &[i64], tensor: &Tensor) -> Value {
    let plain = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let values = Vec::<f32>::try_from(plain.view([-1])).expect("a vector of floats");
    graph.weight(role, dims, &values)
}

/// The tensor with its own shape, see [`weight`].
pub(crate) fn whole(graph: &mut Graph, role: &str, tensor: &Tensor) -> Value {
    weight(graph, role, &tensor.size(), tensor)
}

/// A scalar.
pub(crate) fn scalar(graph: &mut Graph, role: &str, value: f64) -> Value {
    graph.weight(role, &[], &[value as f32])
}

/// The attributes of a node that slides `window`.
pub(crate) fn sliding(window: Window) -> Vec<AttributeProto> {
    let Window { kernel, stride, padding } = window;
    vec![
        ints("kernel_shape", &[kernel; 2]),
        ints("strides", &[stride; 2]),
        ints("pads", &[padding; 4]),
    ]
}

/// The reduction `operator` along these axes, kept with size 1.
pub(crate) fn along(graph: &mut Graph, operator: &str, input: &Value, axes: &[i64]) -> Value {
    graph.node(operator, &[input], vec![ints("axes", axes), int("keepdims", 1)])
}

/// `input` with its axes in another order.
pub(crate) fn transposed(graph: &mut Graph, input: &Value, order: &[i64]) -> Value {
    graph.node("Transpose", &[input], vec![ints("perm", order)])
}

/// `input` with another shape; a side of 0 is kept: the batch.
pub(crate) fn reshaped(graph: &mut Graph, input: &Value, sides: &[i64]) -> Value {
    let sides = graph.longs("shape", sides);
    graph.node("Reshape", &[input, &sides], vec![])
}

/// σ(scale · input + shift), both of shape `sides`.
pub(crate) fn gate(
    graph: &mut Graph,
    input: &Value,
    sides: &[i64],
    [scale, shift]: [&Tensor; 2],
) -> Value {
    let scale = weight(graph, "gate_weight", sides, scale);
    let shift = weight(graph, "gate_bias", sides, shift);
    let scaled = graph.node("Mul", &[input, &scale], vec![]);
    let shifted = graph.node("Add", &[&scaled, &shift], vec![]);
    graph.node("Sigmoid", &[&shifted], vec![])
}

/// input · σ(logits).
pub(crate) fn scaled_by_sigmoid(graph: &mut Graph, input: &Value, logits: &Value) -> Value {
    let weights = graph.node("Sigmoid", &[logits], vec![]);
    graph.node("Mul", &[input, &weights], vec![])
}

/// The part of `map` of the height and width of `shape` that starts `border` rows and columns inside.
pub(crate) fn cropped(graph: &mut Graph, map: &Value, border: i64, shape: FeatureShape) -> Value {
    let ranges = [[border; 2], [border + shape.height, border + shape.width], [2, 3]];
    let [starts, ends, axes] = ranges.map(|values| graph.longs("cut", &values));
    graph.node("Slice", &[map, &starts, &ends, &axes], vec![])
}

/// `input` split in two along an axis.
pub(crate) fn split(graph: &mut Graph, input: &Value, axis: i64, sizes: [i64; 2]) -> [Value; 2] {
    let axes = graph.longs("axis", &[axis]);
    let mut from = 0;
    sizes.map(|size| {
        let [start, end] = [from, from + size].map(|end| graph.longs("cut", &[end]));
        from += size;
        graph.node("Slice", &[input, &start, &end, &axes], vec![])
    })
}

/// (input − mean) / deviation(variance), with mean and variance along an axis.
pub(crate) fn normalised(
    graph: &mut Graph,
    input: &Value,
    axis: i64,
    deviation: impl FnOnce(&mut Graph, Value) -> Value,
) -> Value {
    let mean = along(graph, "ReduceMean", input, &[axis]);
    let centred = graph.node("Sub", &[input, &mean], vec![]);
    let squares = graph.node("Mul", &[&centred, &centred], vec![]);
    let variance = along(graph, "ReduceMean", &squares, &[axis]);
    let deviation = deviation(graph, variance);
    graph.node("Div", &[&centred, &deviation], vec![])
}
