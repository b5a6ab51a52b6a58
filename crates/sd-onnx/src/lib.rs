//! ONNX files of image classifiers, without any tensor library.
//!
//! ```
//! use sd_onnx::{Graph, ints};
//!
//! let mut graph = Graph::new("a convolution");
//! let images = graph.input("images", &[1, 28, 28]);
//! let weight = graph.weight("weight", &[2, 1, 3, 3], &[0.1; 18]);
//! let map = graph.node("Conv", &[&images, &weight], vec![ints("pads", &[1, 1, 1, 1])]);
//! graph.output(&map, "map", &[2, 28, 28]);
//!
//! let graph = graph.finish();
//! assert_eq!(graph.node[0].op_type, "Conv");
//! assert_eq!(graph.node[0].input, ["images", "weight_1"]);
//! assert_eq!(graph.output[0].name, "map");
//! ```
//!
//! A network adds itself to a [`Graph`] node by node. [`fold_batch_norms`] and
//! [`quantize`](quantize::quantize) rewrite the finished graph. [`encode`] writes it together with its
//! [`Metadata`], which hold everything else that inference needs: preprocessing, class names, exits.
//! [`read_metadata`] and [`read_model`] read a file, also an untrusted one. [`Shapes`] computes the
//! memory and the work that a graph needs before anything runs it.

mod error;
mod fields;
mod fold;
mod footprint;
mod graph;
mod metadata;
mod model;
pub mod proto;
pub mod quantize;
mod tensor;

pub use error::{Error, Result};
pub use fold::fold_batch_norms;
pub use footprint::{Footprint, ShapeMap, Shapes};
pub use graph::{Graph, Value, float, int, ints, string, without_scope};
pub use metadata::{Exit, Input, Layout, METADATA_VERSION, Metadata, Resize};
pub use model::{OPSET, check_order, encode, read_metadata, read_model};
