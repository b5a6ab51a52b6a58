//! Batches of images as tensors on a device, and how they are mixed.

pub mod batch;
pub mod device;
pub mod mixing;
mod targets;

pub use batch::TrainBatch;
pub use mixing::MixConfig;
pub use targets::{MixedLabels, Targets};
