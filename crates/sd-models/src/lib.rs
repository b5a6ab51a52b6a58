//! Blocks as networks with exits.
//!
//! A [`ModelConfig`] names a backbone (ResNet or VGG, its convolutions dense, grouped or
//! depthwise-separable, for the whole network or stage by stage; or MobileNetV2) and the shallow
//! classifiers, the exits, that hang on its stages. [`MultiExit::build`] makes the network;
//! [`MultiExit::forward_exits`] runs all exits at once, and the costs tell what the framework and
//! each exit alone cost. [`TensorFile`] keeps weights, strictly; [`Library`] reads and writes
//! those of torchvision and timm.
//!
//! The exits' features are as wide as the last stage, so that the deepest exit can teach the
//! others. Exits are listed shallow first everywhere; the deepest is always the last.
//!
//! ```
//! use sd_layers::{AttentionConfig, ConvConfig, FeatureShape, GroupedConfig, Precision};
//! use sd_models::*;
//! use tch::{Device, Kind, Tensor, nn};
//!
//! let config = ModelConfig {
//!     backbone: BackboneConfig::Vgg(VggConfig {
//!         depth: 11,
//!         head: VggHead::Linear,
//!         width: 0.25,
//!         output_stride: None,
//!         conv: PerStage::All(ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false })),
//!         attention: PerStage::All(AttentionConfig::None),
//!     }),
//!     exits: Some(ExitsConfig::new(vec![2, 4], ExitConfig::Byot)),
//! };
//! let task = Task { input: FeatureShape::new(3, 32, 32), classes: 10 };
//! let variables = nn::VarStore::new(Device::Cpu);
//! let network = MultiExit::build(&variables.root(), &config, task, Precision::F32)?;
//!
//! let images = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu));
//! let outputs = network.forward_exits(&images, false);
//! assert_eq!(outputs.shallow.len(), 2);
//! assert_eq!(outputs.ensemble().size(), [2, 10]);
//! assert_eq!(network.exit_names(), ["exit1", "exit2", "deepest"]);
//! # Ok::<(), sd_models::Error>(())
//! ```

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
pub use inference::keep_weights_for_inference;
pub use library::Library;
pub use multi_exit::{ExitOutputs, ModelConfig, MultiExit, Task};
pub use per_stage::PerStage;
pub use weights::{TensorFile, variables};
