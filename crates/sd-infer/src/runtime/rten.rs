//! rten (<https://github.com/robertknight/rten>): pure Rust.

use std::sync::Arc;
use std::time::Instant;

use rten::{Model, ModelOptions, RunOptions, ThreadPool, op_registry};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor, TensorView};

use super::{Engine, Runtime, catch_panic, failed};
use crate::{Batch, Result};

/// A network in rten, with its own thread pool.
pub struct Rten {
    model: Model,
    threads: Arc<ThreadPool>,
}

impl std::fmt::Debug for Rten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rten").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Rten {
    /// Loads a file.
    pub fn load(bytes: Vec<u8>, threads: usize) -> Result<Self> {
        // The operators that `cargo xtask export` writes; the linker drops all others.
        let operators = op_registry!(
            Add,
            AveragePool,
            BatchNormalization,
            Cast,
            Clip,
            Concat,
            Conv,
            ConvInteger,
            ConvTranspose,
            DequantizeLinear,
            Div,
            Expand,
            Flatten,
            Gemm,
            GlobalAveragePool,
            HardSwish,
            MatMul,
            MaxPool,
            Mean,
            Mul,
            Pad,
            QuantizeLinear,
            ReduceMax,
            ReduceMean,
            Relu,
            Reshape,
            Resize,
            Sigmoid,
            Slice,
            Split,
            Sqrt,
            Sub,
            Transpose
        );
        let mut options = ModelOptions::with_ops(operators);
        let load = || options.prepack_weights(true).load(bytes);
        Ok(Self {
            model: catch_panic(Engine::Rten, load)?.map_err(|error| failed(Engine::Rten, error))?,
            threads: Arc::new(ThreadPool::with_num_threads(threads)),
        })
    }
}

impl Runtime for Rten {
    fn run(&mut self, batch: Batch, _: Option<Instant>) -> Result<Vec<Batch>> {
        let unfit = |what: &str| failed(Engine::Rten, what);
        let &[input] = self.model.input_ids() else {
            return Err(unfit("expected a network with one input"));
        };
        let (shape, values) = batch.into_parts();
        let tensor = Tensor::from_data(shape.as_slice(), values);
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
        let model = &self.model;
        let run = || model.run(vec![(input, tensor.into())], model.output_ids(), Some(options));
        let outputs = catch_panic(Engine::Rten, run)?;
        let outputs = outputs.map_err(|error| failed(Engine::Rten, error))?;
        let batch = |value: &rten::Value| {
            let view: TensorView<f32> = value.as_tensor_view()?;
            Batch::new(view.shape().to_vec(), view.to_vec())
        };
        let batches = outputs.iter().map(batch).collect::<Option<_>>();
        batches.ok_or_else(|| unfit("expected a network whose outputs are batches of f32"))
    }
}
