//! Trains image classifiers with exits by self-distillation, evaluates them and exports them.
//!
//! An [`Experiment`](experiment::Experiment) is read from TOML and holds everything that a result
//! depends on. A [`Trainer`](training::Trainer) opens its images, builds its network and trains it;
//! an [`Evaluation`](evaluation::Evaluation) scores every exit.
//!
//! ```
//! use sd_cli::RuntimeArgs;
//! use sd_train::experiment::Experiment;
//! use sd_train::training::{Observer, StopSignal, Trainer};
//!
//! let experiment = Experiment::parse(
//!     r#"
//!     name = "tiny"
//!     seed = 0
//!     [data]
//!     dataset = { synthetic = { classes = 4, train = 64, test = 32, channels = 1, height = 32, width = 32, seed = 0 } }
//!     [model]
//!     backbone = { vgg = { depth = 11, head = "linear", width = 0.125, conv = "depthwise_separable", attention = "none" } }
//!     exits = { after = [2, 4], kind = { light = { attention = { eca = {} } } } }
//!     [objective.self_distillation]
//!     alpha = 0.3
//!     temperature = 3.0
//!     lambda = 0.03
//!     teacher = "deepest"
//!     label_smoothing = 0.0
//!     [train]
//!     epochs = 2
//!     batch_size = 16
//!     precision = "f32"
//!     sgd = { momentum = 0.9, nesterov = true, weight_decay = 5e-4 }
//!     schedule = { one_cycle = { peak = 0.05, warmup = 0.3 } }
//!     "#,
//!     &[],
//! )?;
//! let folder = tempfile::tempdir()?;
//! let mut trainer = Trainer::new(&experiment, &RuntimeArgs::default())?;
//! trainer.run(&mut Observer::new(folder.path(), StopSignal::default()))?;
//! let images = trainer.data.test.as_ref().expect("this data set has a test split");
//! let test = trainer.evaluation(images)?.scores(trainer.deployed().network)?;
//! for exit in &test.exits {
//!     println!("{}: {:.1} %", exit.name, 100.0 * exit.top1);
//! }
//! # assert_eq!(test.exits.len(), 3);
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! A run on the CPU with the same seed and number of threads gives the same bits, however often it
//! was interrupted and resumed.

pub mod commands;
pub mod data;
pub mod evaluation;
pub mod experiment;
pub mod export;
pub mod objective;
pub mod optim;
mod ranges;
pub mod training;

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
