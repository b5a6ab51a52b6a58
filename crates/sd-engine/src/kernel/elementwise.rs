//! Element-wise operators.

use crate::buffer_pool::BufferPool;
use crate::simd::{self, FloatLoop, FloatVector, dispatch_float};
use crate::tensor::Tensor;

/// `max(0, x)` in place.
pub fn relu(tensor: &mut Tensor) {
    tensor.values.iter_mut().for_each(simd::relu);
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid(input: &Tensor) -> Tensor {
    let mut output = input.clone();
    output.values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
    output
}

/// The mean of inputs, broadcast to the first one; `None` if the shapes are incompatible.
pub fn mean(inputs: &[&Tensor], buffers: &BufferPool) -> Option<Tensor> {
    let (&first, others) = inputs.split_first()?;
    let mut sum = first.clone();
    for other in others {
        sum = broadcast_to_first(&sum, other, |a, b| a + b, buffers)?;
    }
    let count = inputs.len() as f32;
    sum.values.iter_mut().for_each(|value| *value /= count);
    Some(sum)
}

/// `op(a, b)` of each element, where the smaller input is broadcast along its axes of size 1; `None`
/// if the shapes are incompatible. `op` must be commutative.
pub fn broadcast(
    a: &Tensor,
    b: &Tensor,
    op: impl Fn(f32, f32) -> f32,
    buffers: &BufferPool,
) -> Option<Tensor> {
    broadcast_to_first(a, b, &op, buffers).or_else(|| broadcast_to_first(b, a, op, buffers))
}

fn broadcast_to_first(
    input: &Tensor,
    other: &Tensor,
    op: impl Fn(f32, f32) -> f32,
    buffers: &BufferPool,
) -> Option<Tensor> {
    let fits = |(size, other)| other == size || other == 1;
    let mut sizes = input.shape().into_iter().zip(other.shape());
    // ONNX aligns vectors [N, C] with the last axes instead.
    let is_alike = input.images == other.images && input.is_vector == other.is_vector;
    if !is_alike || !sizes.all(fits) {
        return None;
    }
    let mut output = Tensor::acquire(buffers, input.images, input.shape())?;
    output.is_vector = input.is_vector;
    dispatch_float(Broadcast { input, other, op, to: &mut output.values });
    Some(output)
}

struct Broadcast<'a, Op> {
    input: &'a Tensor,
    other: &'a Tensor,
    op: Op,
    to: &'a mut [f32],
}

impl<Op: Fn(f32, f32) -> f32> FloatLoop for Broadcast<'_, Op> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let Self { input, other, op, to } = self;
        let positions = input.values.chunks_exact(input.channels);
        let positions = positions.zip(to.chunks_exact_mut(input.channels));
        let (mut row, mut x) = (0, 0);
        for (values, to) in positions {
            let (image, y) = (row / input.height, row % input.height);
            let other_row = image * other.height + y.min(other.height - 1);
            let position = other_row * other.width + x.min(other.width - 1);
            let others = &other.values[position * other.channels..][..other.channels];
            if let [other] = others {
                for (value, to) in values.iter().zip(to) {
                    *to = op(*value, *other);
                }
            } else {
                for ((value, other), to) in values.iter().zip(others).zip(to) {
                    *to = op(*value, *other);
                }
            }
            x += 1;
            if x == input.width {
                (row, x) = (row + 1, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::kernel::pool::global_average;

    fn tensor(shape: [usize; 4], values: Vec<f32>) -> Tensor {
        Tensor::from_batch(Batch::new(shape.to_vec(), values).unwrap()).unwrap()
    }

    #[test]
    fn axes_of_size_one_are_broadcast_and_others_do_not_fit() {
        let buffers = BufferPool::default();
        let input = tensor([2, 3, 2, 2], (0..24).map(|value| value as f32).collect());
        let average = global_average(&input);
        assert_eq!(average.values, [1.5, 5.5, 9.5, 13.5, 17.5, 21.5]);
        let product = broadcast(&input, &average, |a, b| a * b, &buffers).unwrap();
        assert_eq!(product.values[..4], [0.0, 22.0, 76.0, 1.5]);
        let column = tensor([2, 1, 2, 1], vec![1.0, 2.0, 3.0, 4.0]);
        let sum = broadcast(&input, &column, |a, b| a + b, &buffers).unwrap();
        let expected = [1., 2., 4., 5., 5., 6., 8., 9., 9., 10., 12., 13.];
        assert_eq!(sum.flatten().values[..12], expected);
        let other = tensor([2, 2, 1, 1], vec![0.0; 4]);
        assert!(broadcast(&input, &other, |a, _| a, &buffers).is_none());
        let vectors = Tensor { is_vector: true, ..average };
        assert!(broadcast(&input, &vectors, |a, _| a, &buffers).is_none());
    }
}
