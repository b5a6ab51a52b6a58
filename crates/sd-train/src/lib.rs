//! The experiment: a configuration, a network, an objective, a loop, and what they leave behind.
//!
//! An [`Experiment`](config::Experiment) is read from TOML and holds all that a result depends
//! on. [`run::train`] builds its network and its data, and hands them to the
//! [`Trainer`](train::Trainer), whose loop reads like the method: forward through all exits, the
//! objective's parts, backward, update. The loop knows no objective: the plain network, deep
//! supervision and self-distillation differ in one value of the configuration and share every
//! other line.
//!
//! A run on the CPU with the same seed and thread count gives the same bits, however often it
//! was interrupted and resumed.
//!
//! ```
//! use sd_train::config::Experiment;
//!
//! let experiment = Experiment::parse(
//!     r#"
//!     name = "tiny"
//!     seed = 0
//!     [data]
//!     dataset = "cifar100"
//!     [model.backbone.vgg]
//!     depth = 11
//!     head = "linear"
//!     conv = { grouped = { groups = 8 } }
//!     attention = "none"
//!     [objective.deepest_only]
//!     label_smoothing = 0.0
//!     [train]
//!     epochs = 5
//!     batch_size = 128
//!     precision = "auto"
//!     sgd = { momentum = 0.9, nesterov = true, weight_decay = 5e-4 }
//!     schedule = { one_cycle = { peak = 0.1, warmup = 0.15 } }
//!     "#,
//!     &["train.epochs=20".to_owned()],
//! )?;
//! assert_eq!(experiment.train.epochs, 20);
//! assert_eq!(experiment.task().classes, 100);
//! # Ok::<(), anyhow::Error>(())
//! ```

pub mod answers;
pub mod batch;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod configuration;
pub mod count;
pub mod device;
pub mod difference;
pub mod dry_run;
pub mod early_exit;
pub mod early_stopping;
pub mod ema;
pub mod evaluate;
pub mod exchange;
pub mod exit_kinds;
pub mod export;
pub mod fingerprint;
pub mod folder;
pub mod logging;
pub mod lr_range;
pub mod memory;
pub mod meter;
pub mod mix;
pub mod non_finite;
pub mod objective;
pub mod observe;
pub mod optim;
pub mod output;
pub mod overfit;
pub mod precision;
pub mod predict;
pub mod pretrained;
pub mod run;
pub mod schedule;
pub mod setting;
pub mod setup;
pub mod signals;
pub mod step;
pub mod stop;
pub mod tensorboard;
pub mod trace;
pub mod train;
pub mod trained;
pub mod twin;
pub mod weights;

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
