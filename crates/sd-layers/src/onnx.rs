//! Tensors and windows as ONNX has them.

use sd_onnx::proto::AttributeProto;
use sd_onnx::{Graph, Value, ints};
use tch::{Device, Kind, Tensor};

use crate::shape::Window;

/// The tensor's numbers as a weight of these sides; `role` is the first part of its name.
///
/// # Panics
/// When the tensor does not fill `dims`, or has no numbers in memory.
pub(crate) fn weight(graph: &mut Graph, role: &str, dims: &[i64], tensor: &Tensor) -> Value {
    let plain = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let values = Vec::<f32>::try_from(plain.view([-1])).expect("a vector of floats");
    graph.weight(role, dims, &values)
}

/// The tensor with its own sides, see [`weight`].
pub(crate) fn whole(graph: &mut Graph, role: &str, tensor: &Tensor) -> Value {
    weight(graph, role, &tensor.size(), tensor)
}

/// A number.
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
