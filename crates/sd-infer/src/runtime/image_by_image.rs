//! Batches run one image at a time.

use std::time::Instant;

use super::{Engine, Runtime, failed};
use crate::{Batch, Result};

/// A runtime that is given the images of a batch one at a time.
///
/// rten 0.24 computed `ConvInteger` wrongly for several images if the window was larger than a pixel:
/// the kernel, packed once for the whole batch, lost its zero points. Later versions were not tested.
#[derive(Debug)]
pub struct ImageByImage(pub Box<dyn Runtime>);

impl Runtime for ImageByImage {
    fn run(&mut self, batch: Batch, deadline: Option<Instant>) -> Result<Vec<Batch>> {
        let images = 0..batch.len();
        let outputs = images.map(|image| self.0.run(batch.select(&[image]), deadline));
        let unfit = || failed(Engine::Rten, "output shapes depend on the image");
        Batch::concat(outputs.collect::<Result<_>>()?).ok_or_else(unfit)
    }
}
