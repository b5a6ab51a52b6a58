//! Classifies images with an exported network: one file, no libtorch.
//!
//! `cargo xtask export` writes a trained network as ONNX, with all that a program needs to use it
//! in the file's metadata. A [`Classifier`] opens such a file, brings images to the form that the
//! network was trained on ([`prepare`]), and names their classes.
//!
//! The folder of `export --staged` has a file for each exit. Then an image leaves at the first exit
//! that is sure enough by a [`Rule`], and the stages after it do not run; of a batch, the images
//! that stay go on as one smaller batch. An [`Answer`] tells the exit and what it cost.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use sd_infer::{Classifier, Options, Rule, input};
//!
//! let image = input::read(Path::new("shoe.png"))?;
//! let mut classifier = Classifier::open("runs/quickstart-seed0/deepest.onnx")?;
//! let answer = classifier.classify(&image)?;
//! println!("{} ({:.0} %)", answer.labels[0].name, 100.0 * answer.labels[0].probability);
//!
//! let options = Options { rule: Rule::Entropy(0.1), ..Options::default() };
//! let mut staged = Classifier::open_with("runs/quickstart-seed0/staged", options)?;
//! let answer = staged.classify(&image)?;
//! println!("left at {} for {:.0} % of the whole", answer.exit, 100.0 * answer.share);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`Engine`] runs the network: the native one, and behind a cargo feature each, `rten` (on by
//! default) for networks that the native one does not support, and `ort`, which loads ONNX Runtime's
//! library. The fastest one available is chosen unless [`Options`] names another.

mod answer;
mod classifier;
mod error;
pub mod input;
mod opinion;
mod preprocess;
mod rule;
pub mod runtime;

pub use answer::{Answer, Label, top};
pub use classifier::{Classifier, Options};
pub use error::{Error, Result};
pub use opinion::{Agreement, Memory, Opinion, softmax};
pub use preprocess::prepare;
pub use rule::Rule;
pub use runtime::Engine;
pub use sd_engine::Batch;
