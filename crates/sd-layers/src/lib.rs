//! Layers of small image classifiers, each with its cost.
//!
//! ```
//! use sd_layers::{Block, ConvConfig, ConvGeometry, FeatureShape, GroupedConfig, Window};
//! use tch::nn::ModuleT;
//! use tch::{Device, Kind, Tensor, nn};
//!
//! let vs = nn::VarStore::new(Device::Cpu);
//! let grouped = ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false });
//! let geometry = ConvGeometry { inputs: 64, outputs: 128, window: Window::same(3, 1) };
//! let block = grouped.get().build(&vs.root(), geometry)?;
//!
//! let maps = Tensor::zeros([1, 64, 32, 32], (Kind::Float, Device::Cpu));
//! assert_eq!(block.forward_t(&maps, false).size(), [1, 128, 32, 32]);
//! assert_eq!(block.cost(FeatureShape::new(64, 32, 32))?.params, 128 * (64 / 8) * 9);
//! # Ok::<(), sd_layers::Error>(())
//! ```
//!
//! Dense, grouped and depthwise-separable convolutions, attention, batch norm, pooling. A [`Block`]
//! is a `tch` module with its output shape, its [`Cost`] in parameters and multiply-accumulates, and
//! its ONNX form next to the forward pass. So the code that computes a network also counts and
//! exports it.
//!
//! A configuration chooses a kind of convolution ([`ConvConfig`]) or attention
//! ([`AttentionConfig`]); its `build` checks every value and returns the layers. A forward pass does
//! not fail on a configuration.
//!
//! Weights are `f32` and initialised as in PyTorch. A block computes in the type of its input (see
//! [`Precision`]) and keeps its memory layout (see [`channels_last`]).

mod attention;
mod block;
mod conv;
mod cost;
mod error;
mod init;
mod kernel;
mod layout;
mod linear;
mod norm;
mod onnx;
mod pool;
mod precision;
mod shape;

pub use attention::*;
pub use block::{Block, Sequential};
pub use conv::*;
pub use cost::Cost;
pub use error::{Error, Result};
pub use kernel::{
    AdamWUpdate, SgdUpdate, SynchronisedBatchNorm, allow_tf32, flush_denormals, global_average,
    libtorch_version, scale_gradient, synchronise_batch_norm, tensor_over, zero_grad,
};
pub use layout::channels_last;
pub use linear::Linear;
pub use norm::BatchNorm;
pub use pool::{Pool, write_global_average};
pub use precision::Precision;
pub use shape::{FeatureShape, Window};
