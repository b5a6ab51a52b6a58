//! Batches of images as tensors on a device, with their targets; mixup and CutMix.

pub(crate) mod batch;
pub mod device;
mod mixing;
mod targets;

pub use batch::TrainBatch;
pub use mixing::MixConfig;
pub use targets::{MixedLabels, Targets};
