//! Image data sets, augmentation and a parallel loader, without any tensor library.
//!
//! # From a file to a batch
//!
//! A [`DatasetConfig`] names a data set: CIFAR-10, CIFAR-100, files in the format of MNIST, folders
//! or tables of JPEG, PNG and WebP files, or images made from a seed. Loading it gives
//! [`ImageSet`]s, to train on, to test on and, in some, to validate on: raw bytes in `[N, H, W, C]`
//! order and labels, all in memory. A file that is cut short, too long or has a label out of range
//! is an [`Error`] that names the file, the byte or line and what was expected there. No length
//! that a file states is believed before its bytes have come.
//!
//! A [`DataConfig`] is what an experiment writes: the data set, a border ([`DataConfig::pad`]), a
//! share held back for validation (class by class, [`split::stratified`]), the augmentation, and
//! the [`Normalization`], by default measured on the images that remain to train on.
//! [`DataConfig::input`] tells the shape and the classes without any file, so that a network can be
//! built and counted on a machine that has no data.
//!
//! A [`Loader`] goes through an [`ImageSet`] epoch by epoch. A thread runs ahead of the training
//! loop and fills each [`Batch`] in parallel. Crops and flips cost no copy: they are drawn as a
//! placement, and where that says, each byte goes through a table and
//! becomes a normalised `f32`. [`augment`] tells how AutoAugment and what erases join in. The batch
//! is a plain slice of `f32`, whose memory is used again once it is dropped. With
//! [`LoaderConfig::partners`] each image comes with another one of its class.
//!
//! # What it promises
//!
//! Batches depend on (seed, epoch, sample) alone. Every image of every epoch draws its
//! augmentation from a random stream of that name, so that a batch is the same, bit for bit,
//! whatever the number of threads, and an interrupted epoch goes on at any batch as if it had never
//! stopped. Nothing draws from a global generator.
//!
//! An epoch that is dropped early stops its threads; a panic in one of them reaches the caller.
//!
//! # An example
//!
//! ```
//! use sd_data::{DataConfig, Loader, LoaderConfig, Order};
//! use std::path::Path;
//!
//! let config: DataConfig = toml::from_str(
//!     "dataset = { synthetic = { classes = 10, train = 640, test = 100, channels = 3, height = 32, width = 32, seed = 0 } }
//!      validation = { fraction = 0.1, seed = 0 }
//!      augment = [{ pad_crop = { padding = 4 } }, { flip = {} }]",
//! )?;
//! let data = config.open(Path::new("data"))?;
//! assert_eq!(data.train.len(), 580); // of 64 a class, 6 are held back
//! # assert_eq!(data.valid.as_ref().map(|valid| valid.len()), Some(60));
//!
//! let loader = Loader::new(
//!     data.train,
//!     LoaderConfig {
//!         batch_size: 128,
//!         threads: 2,
//!         prefetch: 4,
//!         seed: 1,
//!         order: Order::Shuffled,
//!         drop_last: true,
//!         partners: false,
//!         augment: config.augment.clone(),
//!         normalization: data.normalization,
//!     },
//! )?;
//! assert_eq!(loader.batches(), 4);
//! for batch in loader.epoch(0, 0) {
//!     assert_eq!(batch.labels.len(), 128);
//!     assert_eq!(batch.pixels.len(), 128 * 32 * 32 * 3);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The program `sd-data` (cargo feature `cli`) downloads the published data sets, draws augmented
//! images ([`preview`]) and checks data sets ([`check`]).

pub mod augment;
pub mod check;
mod config;
pub mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod image_set;
mod loader;
mod normalize;
#[cfg(feature = "preview")]
pub mod preview;
pub mod random;
pub mod split;

pub use augment::*;
pub use config::{Data, DataConfig, ValidationConfig};
pub use dataset::*;
pub use error::{Error, Result};
pub use image_set::{ImageSet, ImageShape};
pub use loader::{Batch, BatchPixels, EpochBatches, Loader, LoaderConfig, Order};
pub use normalize::{GivenNormalization, Normalization, NormalizeConfig};
