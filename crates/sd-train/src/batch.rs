//! A loader's batch as tensors.

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
