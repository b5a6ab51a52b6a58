//! A loaded network.

use std::panic::resume_unwind;

use sd_onnx::proto::GraphProto;
use sd_onnx::{check_order, read_graph};

use crate::plan::Plan;
use crate::tensor::Tensor;
use crate::{Batch, Error, Result};

/// Maximum number of images per pass. Activations of more would not stay in the processor's cache.
const MAX_CHUNK: usize = 8;

/// How a network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Threads that share the images of a batch; 0 counts as 1. A single image runs on one thread.
    pub threads: usize,
    /// Bytes that the packed weights and, in each thread, the activations may take. It is checked
    /// after each node, so one node's output may exceed it for a moment.
    pub memory_limit: usize,
}

impl Default for Options {
    /// One thread, 1 GiB.
    fn default() -> Self {
        Self { threads: 1, memory_limit: 1 << 30 }
    }
}

/// A network, compiled for the kernels of this crate.
#[derive(Debug)]
pub struct Network {
    plan: Plan,
    /// Maximum number of images per pass.
    max_chunk: usize,
    threads: usize,
}

impl Network {
    /// Loads the bytes of an ONNX file.
    ///
    /// A black image is run as a trial, so that a graph with incompatible shapes is refused here.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a node without a kernel, [`Error::Memory`] beyond the memory limit,
    /// and the other variants for a malformed file.
    pub fn load(bytes: &[u8], options: Options) -> Result<Self> {
        Self::compile(&read_graph(bytes)?, options)
    }

    /// Loads a graph, see [`load`](Self::load).
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub fn from_graph(graph: &GraphProto, options: Options) -> Result<Self> {
        check_order(graph)?;
        Self::compile(graph, options)
    }

    fn compile(graph: &GraphProto, options: Options) -> Result<Self> {
        let plan = Plan::new(graph, options.memory_limit)?;
        let (_, peak_bytes) = plan.run(plan.black_image()?)?;
        let max_chunk = (options.memory_limit / peak_bytes.max(1)).clamp(1, MAX_CHUNK);
        Ok(Self { plan, max_chunk, threads: options.threads.max(1) })
    }

    /// Runs a batch `[N, C, H, W]` and returns all outputs in the file's order. A feature map is
    /// [channels-last](Batch::is_channels_last), and accepted as an input in that form.
    ///
    /// # Errors
    /// [`Error::Input`] or [`Error::Shape`] if the network does not accept the shape,
    /// [`Error::Memory`] beyond the memory limit.
    pub fn run(&self, batch: Batch) -> Result<Vec<Batch>> {
        // Chunks of equal size, and as many for each thread as for the others.
        let rounds = batch.len().div_ceil(self.threads.saturating_mul(self.max_chunk)).max(1);
        let chunk = batch.len().div_ceil(self.threads.saturating_mul(rounds)).max(1);
        if chunk >= batch.len() {
            return self.run_chunk(batch);
        }
        let images: Vec<usize> = (0..batch.len()).collect();
        let chunks: Vec<&[usize]> = images.chunks(chunk).collect();
        let run = |chunks: &[&[usize]]| {
            let run = |images: &&[usize]| self.run_chunk(batch.select(images));
            chunks.iter().map(run).collect::<Result<Vec<_>>>()
        };
        let outputs = if self.threads == 1 {
            run(&chunks)?
        } else {
            let run = &run;
            let per_thread = chunks.len().div_ceil(self.threads);
            std::thread::scope(|scope| {
                let spawn = |chunks| scope.spawn(move || run(chunks));
                let threads: Vec<_> = chunks.chunks(per_thread).map(spawn).collect();
                let results = threads.into_iter().map(|thread| match thread.join() {
                    Ok(result) => result,
                    Err(panic) => resume_unwind(panic),
                });
                results.collect::<Result<Vec<_>>>()
            })?
            .into_iter()
            .flatten()
            .collect()
        };
        Batch::concat(outputs).ok_or(Error::Graph("output shapes that depend on the image"))
    }

    fn run_chunk(&self, images: Batch) -> Result<Vec<Batch>> {
        let shape = images.shape().to_vec();
        let input = Tensor::from_batch(images).ok_or(Error::Input { found: shape })?;
        let (outputs, _) = self.plan.run(input)?;
        let batch = |output: Tensor| output.into_batch().ok_or(Error::Graph("an invalid output"));
        outputs.into_iter().map(batch).collect()
    }
}
