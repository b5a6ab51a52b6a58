//! Image classifiers with exits: shallow classifiers on the stages of a backbone.
//!
//! ```
//! use sd_layers::{FeatureShape, Precision};
//! use sd_models::{ModelConfig, MultiExit, Task};
//! use tch::{Device, Kind, Tensor, nn};
//!
//! let config: ModelConfig = toml::from_str(
//!     r#"
//!     [backbone.vgg]
//!     depth = 11
//!     head = "linear"
//!     conv = { grouped = { groups = 8 } }
//!     attention = "none"
//!
//!     [exits]
//!     after = [2, 4]
//!     kind = { light = { attention = { eca = {} } } }
//!     "#,
//! )?;
//! let task = Task { input: FeatureShape::new(3, 32, 32), classes: 10 };
//! let vs = nn::VarStore::new(Device::Cpu);
//! let network = MultiExit::build(&vs.root(), &config, task, Precision::F32)?;
//!
//! let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu));
//! let outputs = network.forward_exits(&images, false);
//! assert_eq!(outputs.ensemble().size(), [2, 10]);
//! assert_eq!(network.exit_names(), ["exit1", "exit2", "deepest"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The backbones are ResNet, VGG and MobileNetV2. The convolutions of a ResNet or VGG are dense,
//! grouped or depthwise-separable, for the whole network or per stage ([`PerStage`]). Every exit's
//! feature is as wide as the last stage, so that the deepest exit can teach the others. Exits are
//! ordered shallow first; the deepest is the last.
//!
//! [`MultiExit`] counts the framework and each exit alone, and writes them as ONNX. [`TensorFile`]
//! reads and writes weights strictly, [`Library`] converts those of torchvision and timm.

mod backbone;
mod error;
mod exit;
mod inference;
mod library;
mod multi_exit;
mod per_stage;
mod state_dict;
mod weights;

pub use backbone::*;
pub use error::{Error, Result};
pub use exit::*;
pub use inference::prepare_for_inference;
pub use library::Library;
pub use multi_exit::{ExitOutputs, ModelConfig, MultiExit, Task};
pub use per_stage::PerStage;
pub use sd_layers::merge_branches;
pub use weights::{TensorFile, variables};
