//! A loader's batch as networks take it.

use sd_data::{Batch, BatchPixels, ImageShape};
use sd_layers::tensor_over;
use tch::{Device, Tensor};

use crate::device;
use crate::objective::Targets;

/// Images `[N, C, H, W]`, channels last in memory, and labels `[N]`, on `device`.
pub fn to_tensors(batch: Batch, device: Device) -> (Tensor, Tensor) {
    let labels = device::put(Tensor::from_slice(&batch.labels), device);
    (images(batch.pixels, batch.shape, device), labels)
}

/// The loader fills a batch as `[N, H, W, C]`: channels-last by a permute, on the CPU without a copy.
fn images(pixels: BatchPixels, shape: ImageShape, device: Device) -> Tensor {
    let sides = [shape.height, shape.width, shape.channels].map(|side| side as i64);
    let size = [&[(pixels.len() / shape.values()) as i64], &sides[..]].concat();
    device::put(tensor_over(pixels, &size), device).permute([0, 3, 1, 2])
}

/// A batch to learn from.
#[derive(Debug)]
pub struct Lesson {
    /// `[N, C, H, W]`, channels last in memory.
    pub images: Tensor,
    /// Of each image another one of its class, if the loader gave them.
    pub partners: Option<Tensor>,
    /// What the network is to say.
    pub targets: Targets,
}

impl Lesson {
    /// The batch on `device`, not mixed. `progress` is the targets'.
    pub fn new(mut batch: Batch, progress: f64, device: Device) -> Self {
        let shape = batch.shape;
        let partners = batch.partners.take().map(|partners| images(partners, shape, device));
        let (images, labels) = to_tensors(batch, device);
        Self { images, partners, targets: Targets { progress, ..Targets::new(labels) } }
    }
}

/// The images as an exported network takes them: the loader's `[N, H, W, C]` as `[N, C, H, W]`.
pub fn channels_first(batch: &Batch) -> sd_infer::Batch {
    let shape = batch.shape;
    let positions = shape.height * shape.width;
    let mut values = Vec::with_capacity(batch.pixels.len());
    for image in batch.pixels.chunks_exact(shape.values()) {
        for channel in 0..shape.channels {
            values.extend((0..positions).map(|place| image[place * shape.channels + channel]));
        }
    }
    let shape = vec![batch.len(), shape.channels, shape.height, shape.width];
    sd_infer::Batch::new(shape, values).expect("a batch holds its images")
}
