//! A loaded network.

use std::panic::resume_unwind;
use std::time::Instant;

use sd_onnx::proto::GraphProto;
use sd_onnx::{Footprint, Shapes, check_order, read_model};

use crate::plan::Plan;
use crate::tensor::{Tensor, image_len};
use crate::{Batch, Error, Result};

/// Maximum number of images per pass. Activations of more would not stay in the processor's cache.
const MAX_CHUNK: usize = 8;

/// How a network runs, and what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Threads that share the images of a batch; 0 counts as 1. A single image runs on one thread.
    pub threads: usize,
    /// Bytes that the packed weights and the activations of one image may take. More images run at
    /// once only as far as they fit too. Checked before weights are packed or a kernel runs.
    pub max_memory: usize,
    /// Work per image in multiply-accumulates, see [`Footprint::work`]. Checked at the same time.
    pub max_work: u64,
}

impl Default for Options {
    /// One thread, 384 MiB, 32 billion multiply-accumulates.
    fn default() -> Self {
        Self { threads: 1, max_memory: 384 << 20, max_work: 32_000_000_000 }
    }
}

/// A network, compiled for the kernels of this crate.
#[derive(Debug)]
pub struct Network {
    plan: Plan,
    shapes: Shapes,
    /// Memory and work for an image of the declared shape.
    footprint: Footprint,
    options: Options,
}

impl Network {
    /// Loads the bytes of an ONNX file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] and [`Error::Shape`] for a node without a kernel, [`Error::Onnx`] beyond
    /// a limit, and the other variants for a malformed file.
    pub fn load(bytes: &[u8], options: Options) -> Result<Self> {
        Self::compile(&read_model(bytes)?.graph.unwrap_or_default(), options)
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
        let options = Options { threads: options.threads.max(1), ..options };
        let shapes = Shapes::new(graph)?;
        check_input(shapes.input_shape())?;
        let (map, footprint) = shapes.infer(shapes.input_shape())?;
        options.check(&footprint)?;
        let plan = Plan::new(graph, &map, options.spare_memory(&footprint) / 2)?;
        Ok(Self { plan, shapes, footprint, options })
    }

    /// Runs a batch `[N, C, H, W]` and returns all outputs in the file's order. A feature map is
    /// [channels-last](Batch::is_channels_last), and accepted as an input in that form.
    ///
    /// # Errors
    /// [`Error::Input`] or [`Error::Shape`] if the network does not accept the shape, [`Error::Onnx`]
    /// if images of this shape exceed a limit.
    pub fn run(&self, batch: Batch) -> Result<Vec<Batch>> {
        self.run_until(batch, None)
    }

    /// Runs a batch, see [`run`](Self::run), until a deadline, which is checked between the nodes.
    ///
    /// # Errors
    /// See [`run`](Self::run), and [`Error::Deadline`].
    pub fn run_until(&self, batch: Batch, deadline: Option<Instant>) -> Result<Vec<Batch>> {
        check_input(batch.shape())?;
        let mut footprint = self.footprint;
        if batch.shape()[1..] != self.shapes.input_shape()[1..] {
            let image = [&[1], &batch.shape()[1..]].concat();
            footprint = self.shapes.infer(&image)?.1;
            self.options.check(&footprint)?;
        }
        let run_chunk = |images| self.run_chunk(images, &footprint, deadline);
        // Chunks of equal size, and as many for each thread as for the others.
        let (threads, max_chunk) = self.options.passes(&footprint);
        let rounds = batch.len().div_ceil(threads.saturating_mul(max_chunk)).max(1);
        let chunk = batch.len().div_ceil(threads.saturating_mul(rounds)).max(1);
        if chunk >= batch.len() {
            return run_chunk(batch);
        }
        let images: Vec<usize> = (0..batch.len()).collect();
        let chunks: Vec<&[usize]> = images.chunks(chunk).collect();
        let run = |chunks: &[&[usize]]| {
            let run = |images: &&[usize]| run_chunk(batch.select(images));
            chunks.iter().map(run).collect::<Result<Vec<_>>>()
        };
        let outputs = if threads == 1 {
            run(&chunks)?
        } else {
            let run = &run;
            let per_thread = chunks.len().div_ceil(threads);
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

    fn run_chunk(
        &self,
        images: Batch,
        footprint: &Footprint,
        deadline: Option<Instant>,
    ) -> Result<Vec<Batch>> {
        let shape = images.shape().to_vec();
        let input = Tensor::from_batch(images).ok_or(Error::Input { found: shape })?;
        let max_excess = self.options.spare_memory(footprint) / 2 / self.options.threads;
        let outputs = self.plan.run(input, max_excess, deadline)?;
        let batch = |output: Tensor| output.into_batch().ok_or(Error::Graph("an invalid output"));
        outputs.into_iter().map(batch).collect()
    }
}

impl Options {
    fn check(&self, footprint: &Footprint) -> Result<()> {
        let max_memory = self.max_memory as u64;
        Ok(footprint.check(footprint.activations, max_memory, self.max_work)?)
    }

    /// Bytes that the weights leave, and those that an image's activations take of them.
    fn memory(&self, footprint: &Footprint) -> (usize, usize) {
        // Both are at most `max_memory`.
        let weights = footprint.weights as usize;
        (self.max_memory.saturating_sub(weights), (footprint.activations as usize).max(1))
    }

    /// Number of threads that run at once, and maximum number of images per pass of each. Together
    /// they may take half of the memory, since buffers are kept; one image may take all of it.
    fn passes(&self, footprint: &Footprint) -> (usize, usize) {
        let (memory, image) = self.memory(footprint);
        let images = (memory / 2 / image).max(1);
        let threads = self.threads.min(images);
        (threads, (images / threads).min(MAX_CHUNK))
    }

    /// Bytes that neither weights nor activations take.
    fn spare_memory(&self, footprint: &Footprint) -> usize {
        let (memory, image) = self.memory(footprint);
        let (threads, images) = self.passes(footprint);
        memory.saturating_sub(image.saturating_mul(threads * images))
    }
}

/// Checks a shape `[N, C, H, W]`.
fn check_input(shape: &[usize]) -> Result<()> {
    let is_valid = matches!(*shape, [_, channels, height, width]
        if image_len([height, width, channels]).is_some());
    if is_valid { Ok(()) } else { Err(Error::Input { found: shape.to_vec() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_images_run_at_once_than_fit_into_the_memory() {
        let passes = |threads, activations| {
            let options = Options { threads, max_memory: 1_100, ..Options::default() };
            options.passes(&Footprint { weights: 100, activations, ..Footprint::default() })
        };
        assert_eq!(passes(2, 50), (2, 5));
        assert_eq!(passes(2, 1), (2, MAX_CHUNK));
        assert_eq!(passes(16, 100), (5, 1));
        assert_eq!(passes(16, 900), (1, 1));
    }
}
