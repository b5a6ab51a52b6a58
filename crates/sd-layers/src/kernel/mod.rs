//! Kernels of our own, for the CPU and maps that lie channels-last.
//!
//! On the CPU a small network's step is bound by memory: libtorch reads and writes a map four
//! times in batch norm and ReLU, eight times backward. The kernels here do it in two and four
//! passes. They compute in `f32` and add in an order that depends on the number of threads alone.
//! Elsewhere (CUDA, another layout) the layers use libtorch's operations.

mod affine;
mod bridge;
mod by_image;
mod channel_sums;
mod depthwise;
mod element;
mod geometry;
mod norm_relu;
mod norm_relu_pool;
mod product;
#[cfg(test)]
mod tests;
mod update;

pub use affine::Norm;
pub use bridge::{
    allow_tf32, flush_denormals, grad_enabled, is_channels_last, libtorch_version, tensor_over,
};
pub use by_image::{mean, weigh};
pub use depthwise::depthwise;
pub use norm_relu::{infer, train};
pub use norm_relu_pool::train_pooled;
pub use product::product;
pub use update::{AdamWParameter, AdamWUpdate, Parameter, SgdUpdate, forget_gradient};
