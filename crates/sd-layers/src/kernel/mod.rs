//! Operations on feature maps. Each picks its path: a kernel of this module on the CPU for
//! channels-last maps, libtorch's operation elsewhere (CUDA, another layout).
//!
//! On the CPU, a small network's step is bound by memory: libtorch reads and writes a map four
//! times in batch norm and ReLU, eight times backward. The kernels here take two and four passes.
//! They compute in `f32` and add in an order that depends only on the number of threads.

mod activation;
mod affine;
mod bridge;
mod channel_attention;
mod channel_sums;
mod convolution;
mod depthwise;
mod element;
mod geometry;
mod im2col;
mod norm_activation;
mod norm_relu_pool;
mod synchronised;
#[cfg(test)]
mod tests;
mod update;

pub use activation::{Identity, Relu, Relu6};
pub use affine::Norm;
pub use bridge::{allow_tf32, flush_denormals, libtorch_version, tensor_over};
pub use channel_attention::{global_average, scale_channels};
pub use convolution::convolution;
pub use norm_activation::norm_activation;
pub use norm_relu_pool::norm_relu_max_pool;
pub use synchronised::{SynchronisedBatchNorm, synchronise_batch_norm};
pub use update::{AdamWUpdate, SgdUpdate, zero_grad};
