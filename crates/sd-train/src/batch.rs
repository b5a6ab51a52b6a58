//! A loader's batch as networks take it.

use sd_data::Batch;
use tch::{Device, Tensor};

/// Images `[N, C, H, W]`, channels last in memory, and labels `[N]`, on `device`.
///
/// The loader fills a batch as `[N, H, W, C]`: it is channels-last by a permute, without a copy.
pub fn to_tensors(batch: &Batch, device: Device) -> (Tensor, Tensor) {
    let shape = batch.shape;
    let size = [batch.len() as i64, shape.height as i64, shape.width as i64, shape.channels as i64];
    let images = Tensor::from_slice(&batch.pixels).view(size).permute([0, 3, 1, 2]);
    (images.to_device(device), Tensor::from_slice(&batch.labels).to_device(device))
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
