//! Batches as one image after another.

use super::{Engine, Runtime, failed};
use crate::{Batch, Result};

/// A runtime that is given one image at a time.
///
/// rten 0.24 gave wrong sums for `ConvInteger` on a batch of several images where the
/// window is larger than a pixel: the kernel that it packs for all of them loses its zero points.
#[derive(Debug)]
pub struct OneByOne(pub Box<dyn Runtime>);

impl Runtime for OneByOne {
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>> {
        let images = 0..batch.len();
        let outputs = images.map(|image| self.0.run(batch.select(&[image])));
        let unfit = || failed(Engine::Rten, "the network gives images of several shapes");
        Batch::concat(outputs.collect::<Result<_>>()?).ok_or_else(unfit)
    }
}
