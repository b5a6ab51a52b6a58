//! Limits on the memory and work of a network, checked before an engine loads or runs it.

use std::panic::resume_unwind;
use std::time::Instant;

use prost::Message;
use sd_onnx::proto::{GraphProto, ModelProto};
use sd_onnx::{Footprint, Shapes};

use super::{Engine, Runtime, failed};
use crate::{Batch, Error, Options, Result};

/// A network or segment within its limits.
#[derive(Debug)]
pub struct Segment {
    model: ModelProto,
    shapes: Shapes,
    /// Memory and work for an image of the declared shape.
    footprint: Footprint,
    /// Bytes that its weights and values may take.
    pub max_memory: u64,
    pub max_work: u64,
}

/// Checks the segments of a network. They share what memory the weights leave, and the work.
pub fn check(models: Vec<ModelProto>, options: &Options) -> sd_onnx::Result<Vec<Segment>> {
    let inferred = |mut model: ModelProto| {
        let shapes = Shapes::new(model.graph.get_or_insert_default())?;
        let footprint = shapes.infer(shapes.input_shape())?.1;
        Ok(Segment { model, shapes, footprint, max_memory: 0, max_work: 0 })
    };
    let mut segments = models.into_iter().map(inferred).collect::<sd_onnx::Result<Vec<_>>>()?;
    let sum = |of: fn(&Footprint) -> u64| {
        segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(of(&segment.footprint)))
    };
    let (weights, work) = (sum(|footprint| footprint.weights), sum(|footprint| footprint.work));
    let (max_memory, max_work) = (options.max_memory as u64, options.max_work);
    Footprint { weights, ..Footprint::default() }.check(0, max_memory, max_work)?;
    let count = segments.len().max(1) as u64;
    for Segment { footprint, max_memory: memory, max_work: work_limit, .. } in &mut segments {
        // A segment may run on other shapes than it declares.
        *memory = footprint.weights + (max_memory - weights) / count;
        *work_limit = footprint.work + max_work.saturating_sub(work) / count;
        footprint.check(footprint.activations, *memory, *work_limit)?;
    }
    Footprint { work, ..Footprint::default() }.check(0, max_memory, max_work)?;
    Ok(segments)
}

impl Segment {
    pub fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().expect("`check` has added one")
    }
}

/// An engine that keeps the memory of all values of a run, within the limits of a segment.
#[derive(Debug)]
pub struct WithinLimits {
    engine: Engine,
    runtime: Box<dyn Runtime>,
    shapes: Shapes,
    max_memory: u64,
    max_work: u64,
    /// The shape of the last batch that is within the limits.
    checked: Vec<usize>,
    /// Number of nodes.
    nodes: usize,
}

/// Bytes of stack for each node.
const NODE_STACK: usize = 4_096;
/// Number of nodes from which on the caller's stack may be too small.
const MANY_NODES: usize = 512;

/// Does what needs a stack in proportion to the number of nodes: rten plans a chain recursively.
fn with_stack<T: Send>(nodes: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if nodes < MANY_NODES {
        return work();
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(nodes * NODE_STACK);
        let thread = builder.spawn_scoped(scope, work).map_err(Error::Thread)?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

impl WithinLimits {
    /// Checks a segment, and hands its bytes to the engine.
    pub fn load(
        engine: Engine,
        segment: Segment,
        load: impl FnOnce(Vec<u8>) -> Result<Box<dyn Runtime>> + Send,
    ) -> Result<Self> {
        let Segment { model, shapes, footprint, max_memory, max_work } = segment;
        let checked = footprint.check(footprint.all_values, max_memory, max_work);
        checked.map_err(|error| failed(engine, error))?;
        let nodes = model.graph.as_ref().map_or(0, |graph| graph.node.len());
        let bytes = model.encode_to_vec();
        drop(model);
        let runtime = with_stack(nodes, || load(bytes))?;
        let checked = shapes.input_shape().to_vec();
        Ok(Self { engine, runtime, shapes, max_memory, max_work, checked, nodes })
    }

    /// Checks as many images of this shape `[N, …]`.
    fn check(&self, images: usize, shape: &[usize]) -> sd_onnx::Result<Footprint> {
        let shape = [&[images], &shape[1..]].concat();
        let (_, footprint) = self.shapes.infer(&shape)?;
        let max_work = self.max_work.saturating_mul(images as u64);
        footprint.check(footprint.all_values, self.max_memory, max_work)?;
        Ok(footprint)
    }

    /// Number of images of a batch of this shape to run at once.
    fn max_images(&mut self, shape: &[usize]) -> sd_onnx::Result<usize> {
        if shape == self.checked || self.check(shape[0], shape).is_ok() {
            self.checked = shape.to_vec();
            return Ok(shape[0]);
        }
        let Footprint { weights, all_values, .. } = self.check(1, shape)?;
        let images = (self.max_memory - weights) / all_values.max(1);
        let images = usize::try_from(images).unwrap_or(usize::MAX).clamp(1, shape[0]);
        // The graph may mix images.
        Ok(if self.check(images, shape).is_ok() { images } else { 1 })
    }
}

impl Runtime for WithinLimits {
    fn run(&mut self, batch: Batch, deadline: Option<Instant>) -> Result<Vec<Batch>> {
        if batch.is_empty() {
            return with_stack(self.nodes, || self.runtime.run(batch, deadline));
        }
        let images = self.max_images(batch.shape()).map_err(|error| failed(self.engine, error))?;
        let Self { engine, ref mut runtime, nodes, .. } = *self;
        let mut run = |batch| with_stack(nodes, || runtime.run(batch, deadline));
        let all: Vec<usize> = (0..batch.len()).collect();
        let mut outputs = Vec::new();
        for chunk in all.chunks(images) {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(failed(engine, "the deadline passed"));
            }
            if chunk.len() == batch.len() {
                return run(batch);
            }
            outputs.push(run(batch.select(chunk))?);
        }
        let unfit = || failed(engine, "output shapes depend on the image");
        Batch::concat(outputs).ok_or_else(unfit)
    }
}
