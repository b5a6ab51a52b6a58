//! tract (<https://github.com/sonos/tract>): pure Rust, a second opinion.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{Engine, Runtime, caught};
use crate::{Batch, Result};

/// A network in tract.
#[derive(Debug)]
pub struct Tract(Arc<TypedRunnableModel<TypedModel>>);

impl Tract {
    /// Loads a file.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        let load = || {
            let model = tract_onnx::onnx().model_for_read(&mut &*bytes)?;
            model.into_optimized()?.into_runnable()
        };
        Ok(Self(Arc::new(caught(Engine::Tract, load)?)))
    }
}

impl Runtime for Tract {
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>> {
        let (shape, values) = batch.into_parts();
        let batches = || {
            let input = Tensor::from_shape(&shape, &values)?;
            let outputs = self.0.run(tvec![input.into_tvalue()])?;
            let batch = |output: &TValue| {
                let values = output.as_slice::<f32>()?.to_vec();
                let batch = Batch::new(output.shape().to_vec(), values);
                let unfit = "the network gives other than batches of floats";
                batch.ok_or_else(|| TractError::msg(unfit))
            };
            outputs.iter().map(batch).collect::<TractResult<_>>()
        };
        caught(Engine::Tract, batches)
    }
}
