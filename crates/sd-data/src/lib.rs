//! Image data sets, augmentation and a parallel loader, without any tensor library.
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
//! assert_eq!(data.train.len(), 580); // 6 of the 64 images per class are held back
//! # assert_eq!(data.valid.as_ref().map(|valid| valid.len()), Some(60));
//!
//! let loader = Loader::new(
//!     data.train,
//!     LoaderConfig {
//!         order: Order::Shuffled,
//!         augment: config.augment.clone(),
//!         ..LoaderConfig::in_order(128, 2, data.normalization)
//!     },
//! )?;
//! for batch in loader.epoch(0, 0) {
//!     let batch = batch?;
//!     assert_eq!(batch.pixels.len(), batch.len() * 32 * 32 * 3);
//! }
//! # assert_eq!(loader.batches(), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From a file to a batch
//!
//! - A [`DatasetConfig`] names a data set: CIFAR-10, CIFAR-100, files in the format of MNIST, folders,
//!   CSV lists or shards of image files, or synthetic images. Loading it gives one [`ImageSet`] per
//!   split: images of one shape, `[H, W, C]`, and labels. Images are in memory, in a packed file
//!   ([`pack`]), or decoded when they are needed ([`StorageConfig`]); batches are the same, except those
//!   of resized JPEG files ([`pack::PackForm::Jpeg`]). Truncated or
//!   oversized files and labels out of range are an [`Error`] that names the file, the byte or line
//!   and what was expected. Sizes stated by a file are never trusted before its bytes are read.
//! - A [`DataConfig`] is the `[data]` section of an experiment: the data set, a border
//!   ([`DataConfig::pad`]), a stratified validation split ([`split::stratified`]), the augmentation
//!   and the [`Normalization`], by default measured on the training images. [`DataConfig::input`]
//!   gives the shape and the number of classes without reading a file, so that a network can be
//!   built and counted without the data.
//! - A [`Loader`] iterates over an [`ImageSet`] epoch by epoch. A background thread fills each
//!   [`Batch`], a plain slice of `f32`, in parallel, ahead of the training loop, and reuses its memory
//!   after it is dropped. Image files are read and decoded there, too. Shifts (`pad_crop`) and flips
//!   copy nothing: they are part of the pass that normalises the bytes, see [`augment`]. With
//!   [`LoaderConfig::partners`], each image comes with another image of its class.
//!
//! # Guarantees
//!
//! Batches depend only on (seed, epoch, sample). Every image of every epoch draws its augmentation
//! from its own random stream, so that a batch is the same, bit for bit, for any number of threads,
//! and an interrupted epoch can resume at any batch. Nothing draws from a global generator.
//!
//! Dropping an epoch early stops its threads. A panic in one of them reaches the caller.
//!
//! # The program
//!
//! `sd-data` (cargo feature `cli`) downloads the published data sets, previews augmentation
//! ([`preview`]), writes some images as files (`samples`), checks data sets ([`check`]) and packs them
//! ([`pack`]).

pub mod augment;
pub mod check;
mod config;
pub mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod hold_back;
mod image_set;
mod loader;
pub mod memory;
mod normalize;
pub mod own_images;
pub mod pack;
#[cfg(feature = "preview")]
pub mod preview;
pub mod random;
mod source;
pub mod split;

pub use augment::*;
pub use config::{Data, DataConfig};
pub use dataset::*;
pub use error::{Error, Result};
pub use hold_back::HoldBackConfig;
pub use image_set::{ImageSet, ImageShape};
pub use loader::{Batch, BatchPixels, EpochBatches, Loader, LoaderConfig, Order, Shard};
pub use normalize::{GivenNormalization, Normalization, NormalizeConfig};
