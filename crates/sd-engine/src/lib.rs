//! Inference engine for exported convolutional networks on the CPU.
//!
//! ```
//! use sd_engine::{Batch, Network, Options};
//! use sd_onnx::{Graph, ints};
//!
//! let mut graph = Graph::new("mean filter");
//! let images = graph.input("images", &[1, 4, 4]);
//! let weight = graph.weight("weight", &[1, 1, 3, 3], &[1.0 / 9.0; 9]);
//! let map = graph.node("Conv", &[&images, &weight], vec![ints("kernel_shape", &[3, 3])]);
//! graph.output(&map, "map", &[1, 2, 2]);
//!
//! // `Network::load` takes the bytes of an .onnx file instead.
//! let options = Options { threads: 2, ..Options::default() };
//! let network = Network::from_graph(&graph.finish(), options)?;
//! let images = Batch::new(vec![8, 1, 4, 4], vec![0.5; 8 * 16]).expect("8 images of 16 values");
//! let outputs = network.run(images)?;
//! assert_eq!(outputs[0].shape(), [8, 1, 2, 2]);
//! # Ok::<(), sd_engine::Error>(())
//! ```
//!
//! Supported are convolutions (dense, grouped, depthwise; `f32`, and dense `ConvInteger` in 8 bits),
//! pooling, linear layers, ReLU and the element-wise operators of ECA and squeeze-excite.
//! [`Network::load`] refuses any other operator.
//!
//! Weights are packed once, when the network is loaded, and activations are channels-last, so that
//! every kernel runs along the channels. General runtimes in pure Rust are slow on such networks:
//! rten 0.27 computes a depthwise convolution one value at a time and packs the weights of all others
//! again for each image, which takes most of the time on small feature maps.

#![allow(
    clippy::needless_range_loop,
    reason = "closures of iterators may be compiled without the processor's vectors"
)]

mod batch;
mod buffer_pool;
mod error;
mod kernel;
mod network;
mod plan;
mod simd;
mod tensor;

pub use batch::Batch;
pub use error::{Error, Result};
pub use network::{Network, Options};
