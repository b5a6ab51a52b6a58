//! A block: a module with its cost and its ONNX form.

use sd_onnx::{Graph, Value};
use tch::{Tensor, nn};

use crate::{Cost, Error, FeatureShape, Result};

/// A module on feature maps `[N, C, H, W]`, with its output shape, cost and ONNX form next to its
/// forward pass.
///
/// A block computes in the type of its input: weights are `f32` and are cast if the input is `bf16`,
/// see [`Precision`](crate::Precision). It keeps the input's memory layout.
pub trait Block: nn::ModuleT {
    /// Returns the shape of the output for an input of this shape. The default is the same shape.
    ///
    /// # Errors
    /// Names the block that does not fit the input, and why.
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        Ok(input)
    }

    /// Returns the block's cost on an input of this shape.
    ///
    /// # Errors
    /// Names the block that does not fit the input, and why.
    fn cost(&self, input: FeatureShape) -> Result<Cost>;

    /// Writes the block's computation in evaluation, on `input` of this shape, and returns its output.
    ///
    /// # Errors
    /// [`Error::NotWritten`] names a block without an ONNX form.
    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let _ = (graph, input, shape);
        Err(Error::NotWritten { block: std::any::type_name::<Self>() })
    }
}

/// Blocks in sequence.
#[derive(Debug, Default)]
pub struct Sequential(Vec<Box<dyn Block>>);

impl Sequential {
    /// An empty sequence: the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends `block`.
    #[must_use]
    pub fn then(mut self, block: impl Block + 'static) -> Self {
        self.0.push(Box::new(block));
        self
    }
}

impl nn::ModuleT for Sequential {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.iter().fold(input.shallow_clone(), |feature, block| block.forward_t(&feature, train))
    }
}

impl Block for Sequential {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.0.iter().try_fold(input, |shape, block| block.output_shape(shape))
    }

    fn cost(&self, mut shape: FeatureShape) -> Result<Cost> {
        let mut total = Cost::ZERO;
        for block in &self.0 {
            total += block.cost(shape)?;
            shape = block.output_shape(shape)?;
        }
        Ok(total)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, mut shape: FeatureShape) -> Result<Value> {
        let mut value = input.clone();
        for block in &self.0 {
            value = block.onnx(graph, &value, shape)?;
            shape = block.output_shape(shape)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Unwritten;

    impl nn::ModuleT for Unwritten {
        fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
            input.shallow_clone()
        }
    }

    impl Block for Unwritten {
        fn cost(&self, _: FeatureShape) -> Result<Cost> {
            Ok(Cost::ZERO)
        }
    }

    #[test]
    fn a_block_without_an_onnx_form_is_named() {
        let shape = FeatureShape::new(1, 2, 2);
        let mut graph = Graph::new("graph");
        let input = graph.input("map", &[1, 2, 2]);
        let blocks = Sequential::new().then(Unwritten);
        let error = blocks.onnx(&mut graph, &input, shape).unwrap_err().to_string();
        assert!(error.ends_with("::Unwritten cannot be written as ONNX"), "{error}");
    }
}
