//! tract (<https://github.com/sonos/tract>): pure Rust, a second opinion.

use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::Conv;

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
            let model = model.into_typed()?.into_decluttered()?;
            check_windows(&model)?;
            model.into_optimized()?.into_runnable()
        };
        Ok(Self(Arc::new(caught(Engine::Tract, load)?)))
    }
}

/// tract 0.22 writes beyond its memory where a column of a window lies further behind a map than the
/// map is wide.
fn check_windows(model: &TypedModel) -> TractResult<()> {
    for node in &model.nodes {
        let Some(Conv { pool_spec: window, .. }) = node.op_as::<Conv>() else { continue };
        let map = &model.outlet_fact(node.inputs[0])?.shape;
        let map = window.data_format.shape(map.to_tvec())?;
        let (sides, axis) = (map.hw_dims(), window.rank() - 1);
        let reach = window.kernel_shape[axis].saturating_sub(1) * window.dilation(axis);
        let before = window.computed_padding(sides)[axis].pad_before.to_i64()?;
        if reach as i64 - before > sides[axis].to_i64()? {
            return Err(TractError::msg(format!(
                "tract 0.22 cannot run a window of {:?} on a map {} wide",
                window.kernel_shape, sides[axis]
            )));
        }
    }
    Ok(())
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
