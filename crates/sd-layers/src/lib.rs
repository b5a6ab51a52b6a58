//! One block and what it costs.
//!
//! The layers of small image classifiers: dense, grouped and depthwise-separable convolutions,
//! attention of nearly no cost, batch norm, pooling. A [`Block`] is a `tch` module that also tells
//! its [`Cost`], parameters and multiply-accumulates, next to its forward pass, so that a network
//! is counted by the code that computes it, without an input and without a tracer.
//!
//! A layer is chosen by a configuration: an enum with one variant for each kind
//! ([`ConvConfig`], [`AttentionConfig`]), which serde reads and `build` turns into a block.
//! Everything that can be wrong with it is found there; a forward pass does not fail on it.
//!
//! A block also writes itself into an ONNX graph ([`Block::onnx`]), as it computes in evaluation.
//!
//! Weights are `f32` and initialised as PyTorch does. A block computes in the type of its input
//! (see [`Precision`]) and keeps its memory layout (see [`channels_last`]).
//!
//! ```
//! use sd_layers::{ConvConfig, ConvGeometry, FeatureShape, GroupedConfig, Window};
//! use tch::{Device, Kind, Tensor, nn};
//!
//! let variables = nn::VarStore::new(Device::Cpu);
//! let geometry = ConvGeometry { inputs: 64, outputs: 128, window: Window::same(3, 1) };
//! let grouped = ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false });
//! let block = grouped.build(&variables.root(), geometry)?;
//!
//! let input = FeatureShape::new(64, 32, 32);
//! let cost = block.cost(input)?;
//! assert_eq!(cost.params, 128 * (64 / 8) * 9);
//! assert_eq!(cost.macs, cost.params * 32 * 32);
//! assert_eq!(block.output_shape(input)?, FeatureShape::new(128, 32, 32));
//!
//! let images = Tensor::zeros([1, 64, 32, 32], (Kind::Float, Device::Cpu));
//! assert_eq!(block.forward_t(&images, false).size(), [1, 128, 32, 32]);
//! # Ok::<(), sd_layers::Error>(())
//! ```

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
    AdamWParameter, AdamWUpdate, Parameter, SgdUpdate, allow_tf32, flush_denormals, global_average,
    tensor_over, zero_grad,
};
pub use layout::channels_last;
pub use linear::Linear;
pub use norm::BatchNorm;
pub use pool::{AveragePool, MaxPool, write_global_average};
pub use precision::Precision;
pub use shape::{FeatureShape, Window};
