//! Kernels of our own, for the CPU and maps that lie channels-last.
//!
//! On the CPU a small network's step is bound by memory: libtorch reads and writes a map four
//! times in batch norm and ReLU, eight times backward. The kernels here do it in two and four
//! passes. They compute in `f32` and add in an order that depends on the number of threads alone.
//! Elsewhere (CUDA, another layout) the layers use libtorch's operations.

mod affine;
mod bridge;
mod channel_sums;
mod depthwise;
mod element;
mod norm_relu;
mod norm_relu_pool;
#[cfg(test)]
mod tests;
mod update;

pub use affine::Norm;
pub use bridge::{grad_enabled, is_channels_last};
pub use depthwise::depthwise;
pub use norm_relu::{infer, train};
pub use norm_relu_pool::train_pooled;
pub use update::{AdamWParameter, AdamWUpdate, Parameter, SgdUpdate, forget_gradient};
