//! Kernels over channels-last tensors.

pub mod banded;
mod channelwise;
pub mod convolution;
mod depthwise;
pub mod elementwise;
pub mod gemm;
pub mod int8_convolution;
pub mod pool;
pub mod window;
mod winograd;
