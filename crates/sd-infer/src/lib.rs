//! Classifies images with an exported network: one file, no libtorch.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use sd_infer::{Classifier, input};
//!
//! let image = input::read(Path::new("shoe.png"))?;
//! let mut classifier = Classifier::open("runs/quickstart-seed0/deepest.onnx")?;
//! let best = classifier.classify(&image)?.labels.remove(0);
//! println!("{} ({:.0} %)", best.name, 100.0 * best.probability);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `cargo xtask export` writes a trained network as ONNX; the file's metadata hold everything else
//! that inference needs. A [`Classifier`] opens such a file, preprocesses images as in training
//! ([`prepare`]), and names their classes.
//!
//! `export --staged` writes a folder with a file for each exit. An image then stops at the first exit
//! that an early-exit [`Rule`] accepts, and later stages do not run for it. The remaining images of a
//! batch continue as a smaller batch. A [`Classification`] tells the exit and its cost:
//!
//! ```no_run
//! # use sd_infer::{Classifier, Options, Rule};
//! # let image = image::DynamicImage::new_luma8(28, 28);
//! let options = Options { rule: Rule::Entropy(0.1), ..Options::default() };
//! let mut staged = Classifier::open_with("runs/quickstart-seed0/staged", options)?;
//! let classification = staged.classify(&image)?;
//! println!("{} at {:.0} % of the MACs", classification.exit, 100.0 * classification.share);
//! # Ok::<(), sd_infer::Error>(())
//! ```
//!
//! An [`Engine`] runs the network: the native one, and behind a cargo feature each, `rten` (on by
//! default) for networks that the native one does not support, and `ort`, which loads ONNX Runtime's
//! library. The fastest one available is chosen unless [`Options`] names another.
//!
//! Networks and images may be a stranger's: [`Options`] bound the memory and the work of a network,
//! which are computed before an engine loads it, and [`input::BOUNDS`] the size of an image.

mod classification;
mod classifier;
mod error;
pub mod input;
mod prediction;
mod preprocess;
mod rule;
pub mod runtime;

pub use classification::{Classification, Label, printable, top_k};
pub use classifier::{Classifier, Options};
pub use error::{Error, Result};
pub use prediction::{Agreement, LogitCarry, Prediction};
pub use preprocess::prepare;
pub use rule::Rule;
pub use runtime::Engine;
pub use sd_engine::Batch;
