//! Batches as tensors.

use sd_data::{Batch, BatchPixels, ImageShape};
use sd_layers::tensor_over;
use tch::{Device, Tensor};

use super::{Targets, device};

/// A batch to train on.
#[derive(Debug)]
pub struct TrainBatch {
    /// `[N, C, H, W]`, channels-last in memory.
    pub images: Tensor,
    /// For each image another image of its class, if the objective requires them; as `images`.
    pub partners: Option<Tensor>,
    /// The targets of the outputs.
    pub targets: Targets,
    /// The epoch, from 0.
    pub epoch: u64,
}

impl TrainBatch {
    /// A batch of the loader on `device`, in epoch `epoch` (from 0) of `epochs`.
    pub fn new(mut batch: Batch, epoch: u64, epochs: u64, device: Device) -> Self {
        let shape = batch.shape;
        let partners = batch.partners.take().map(|partners| to_images(partners, shape, device));
        let (images, labels) = to_tensors(batch, device);
        let progress = (epoch + 1) as f64 / epochs as f64;
        Self { images, partners, targets: Targets { progress, ..Targets::new(labels) }, epoch }
    }

    /// The batch with these class weights, `[K]`, in its targets.
    #[must_use]
    pub fn with_class_weights(mut self, weights: Option<&Tensor>) -> Self {
        self.targets.class_weights = weights.map(Tensor::shallow_clone);
        self
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.size()[0] as usize
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images `[N, C, H, W]`, channels-last in memory, and labels `[N]`, on `device`.
pub fn to_tensors(batch: Batch, device: Device) -> (Tensor, Tensor) {
    let labels = device::put(Tensor::from_slice(&batch.labels), device);
    (to_images(batch.pixels, batch.shape, device), labels)
}

/// The loader fills a batch as `[N, H, W, C]`: channels-last by a permute, on the CPU without a copy.
fn to_images(pixels: BatchPixels, shape: ImageShape, device: Device) -> Tensor {
    let sides = [shape.height, shape.width, shape.channels].map(|side| side as i64);
    let size = [&[(pixels.len() / shape.values()) as i64], &sides[..]].concat();
    device::put(tensor_over(pixels, &size), device).permute([0, 3, 1, 2])
}

/// A batch in the layout of exported networks: the loader's `[N, H, W, C]` as `[N, C, H, W]`.
pub(crate) fn channels_first(batch: &Batch) -> sd_infer::Batch {
    let shape = batch.shape;
    let positions = shape.height * shape.width;
    let mut values = Vec::with_capacity(batch.pixels.len());
    for image in batch.pixels.chunks_exact(shape.values()) {
        for channel in 0..shape.channels {
            values
                .extend((0..positions).map(|position| image[position * shape.channels + channel]));
        }
    }
    let shape = vec![batch.len(), shape.channels, shape.height, shape.width];
    sd_infer::Batch::new(shape, values).expect("a batch holds its images")
}
