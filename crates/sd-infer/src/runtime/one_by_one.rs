//! Batches as one image after another.

use super::{Engine, Runtime, failed};
use crate::{Batch, Result};

/// A runtime that is given one image at a time.
///
/// rten 0.24 gave wrong sums for `ConvInteger` on a batch of several images where the
/// window is larger than a pixel: the kernel that it packs for all of them loses its zero points. Not looked at again in 0.27.
#[derive(Debug)]
pub struct OneByOne(pub Box<dyn Runtime>);

impl Runtime for OneByOne {
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>> {
        let mut all: Vec<(Vec<usize>, Vec<f32>)> = Vec::new();
        for image in 0..batch.len() {
            let outputs = self.0.run(batch.select(&[image]))?;
            for (place, output) in outputs.into_iter().enumerate() {
                let (shape, values) = output.into_parts();
                match all.get_mut(place) {
                    None => all.push((shape, values)),
                    Some((so_far, numbers)) => {
                        so_far[0] += shape[0];
                        numbers.extend(values);
                    }
                }
            }
        }
        let whole = all.into_iter().map(|(shape, values)| Batch::new(shape, values));
        let unfit = || failed(Engine::Rten, "the network gives images of several shapes");
        whole.collect::<Option<_>>().ok_or_else(unfit)
    }
}
