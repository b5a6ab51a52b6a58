//! From images in memory to batches, ahead of the training loop.

use crate::augment::{Canvas, Scratch, apply_all, check_all};
use crate::random;
use crate::{AugmentConfig, Error, ImageSet, ImageShape, Normalization, Result};
use crossbeam_channel::{Receiver, Sender};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;

mod partners;
mod recycling;

use partners::Partners;
pub use recycling::BatchPixels;
use recycling::Recycling;

/// Images that a thread takes at a time: few enough to share a batch evenly, enough not to count
/// the sharing.
const IMAGES_A_TASK: usize = 8;

/// How a [`Loader`] goes through its images.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Images a batch; the last of an epoch may have fewer.
    pub batch_size: usize,
    /// Threads that fill a batch. The batches do not depend on it.
    pub threads: usize,
    /// Batches made ahead of the one being used. With 0 the next is begun but not handed over.
    pub prefetch: usize,
    /// What the order and the augmentation are drawn from.
    pub seed: u64,
    /// The order of the images.
    pub order: Order,
    /// Whether to leave out a last batch that is not full.
    pub drop_last: bool,
    /// Whether each image comes with another one of its class, see [`Batch::partners`].
    pub partners: bool,
    /// Random changes, in order; none for evaluation.
    pub augment: Vec<AugmentConfig>,
    /// What to subtract and divide by.
    pub normalization: Normalization,
}

impl LoaderConfig {
    /// Every image once, in order, as it is but for the normalisation: for all but training.
    pub fn in_order(batch_size: usize, threads: usize, normalization: Normalization) -> Self {
        Self {
            batch_size,
            threads,
            prefetch: 2,
            seed: 0,
            order: Order::Sequential,
            drop_last: false,
            partners: false,
            augment: Vec::new(),
            normalization,
        }
    }
}

/// The order of the images in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are in the set.
    Sequential,
    /// Another permutation each epoch.
    Shuffled,
}

/// Some images of a set, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[N, H, W, C]`, normalised.
    pub pixels: BatchPixels,
    /// `[N]`
    pub labels: Vec<i64>,
    /// `[N, H, W, C]`, where the loader was asked for them: of each image another one of its class,
    /// drawn and changed at random. An image that is alone in its class is its own partner.
    pub partners: Option<BatchPixels>,
    /// The shape of each image.
    pub shape: ImageShape,
}

impl Batch {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image; no batch from a loader is empty.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Makes batches of an [`ImageSet`], epoch by epoch.
///
/// A batch depends on the images, `batch_size`, `order`, `augment`, `normalization` and (seed,
/// epoch, sample) alone: not on the number of threads, on the epochs before, or on the batch that
/// an epoch is begun with. A clone shares the images and the threads.
#[derive(Clone, Debug)]
pub struct Loader {
    work: Arc<Work>,
    pool: Arc<ThreadPool>,
    prefetch: usize,
}

impl Loader {
    /// Checks `config` against `images` and starts the threads.
    ///
    /// # Errors
    /// When there is no batch in an epoch, a number of `config` is out of its range, or the system
    /// gives no threads.
    pub fn new(images: Arc<ImageSet>, config: LoaderConfig) -> Result<Self> {
        for (name, value) in [("batch_size", config.batch_size), ("threads", config.threads)] {
            if value == 0 {
                return Err(Error::value(name, 0, "at least 1"));
            }
        }
        if images.is_empty() {
            return Err(Error::ImageSet {
                found: "no image".to_owned(),
                expected: "images to load".to_owned(),
            });
        }
        if config.drop_last && config.batch_size > images.len() {
            return Err(Error::value(
                "batch_size",
                config.batch_size,
                format!(
                    "at most {}, the number of images: with `drop_last` no batch would be left",
                    images.len()
                ),
            ));
        }
        config.normalization.check(images.shape().channels)?;
        check_all(&config.augment, images.shape())?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.threads)
            .thread_name(|index| format!("loader-{index}"))
            .build()
            .map_err(|error| Error::Threads {
                threads: config.threads,
                reason: error.to_string(),
            })?;
        let work = Work {
            partners: config.partners.then(|| Partners::of(images.labels(), images.classes())),
            images,
            tables: config.normalization.tables(),
            augment: config.augment,
            seed: config.seed,
            order: config.order,
            batch_size: config.batch_size,
            drop_last: config.drop_last,
            // Those that wait, the one being made and the one being used; two of each with partners.
            buffers: Recycling::new(
                config.prefetch.saturating_add(2).saturating_mul(1 + usize::from(config.partners)),
            ),
        };
        Ok(Self { work: Arc::new(work), pool: Arc::new(pool), prefetch: config.prefetch })
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        self.work.batches()
    }

    /// Images an epoch: fewer than the set has if a last batch is left out.
    pub fn images(&self) -> usize {
        self.work.images.len().min(self.batches() * self.work.batch_size)
    }

    /// The batches of an epoch from `first_batch` on (0 is the first), made in the background.
    /// None, if there are no more than `first_batch`.
    ///
    /// # Panics
    /// When the system gives no thread. A panic of a loader's thread reaches the iterator's `next`.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> EpochBatches {
        let batches = first_batch..self.batches();
        let (sender, receiver) = crossbeam_channel::bounded(self.prefetch);
        let (work, pool, remaining) =
            (Arc::clone(&self.work), Arc::clone(&self.pool), batches.len());
        let produce = move || work.produce(&pool, epoch, batches, &sender);
        let producer = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(produce)
            .expect("the system gives a thread");
        EpochBatches { receiver: Some(receiver), producer: Some(producer), remaining }
    }
}

/// What the threads share.
#[derive(Debug)]
struct Work {
    images: Arc<ImageSet>,
    partners: Option<Partners>,
    tables: Vec<[f32; 256]>,
    augment: Vec<AugmentConfig>,
    seed: u64,
    order: Order,
    batch_size: usize,
    drop_last: bool,
    buffers: Recycling,
}

impl Work {
    fn batches(&self) -> usize {
        if self.drop_last {
            self.images.len() / self.batch_size
        } else {
            self.images.len().div_ceil(self.batch_size)
        }
    }

    /// Sends the batches in order until they end or nobody receives them.
    fn produce(&self, pool: &ThreadPool, epoch: u64, batches: Range<usize>, to: &Sender<Batch>) {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        match self.order {
            Order::Sequential => {}
            Order::Shuffled => order.shuffle(&mut random::of_shuffle(self.seed, epoch)),
        }
        for samples in order.chunks(self.batch_size).take(batches.end).skip(batches.start) {
            if to.send(self.batch(pool, epoch, samples)).is_err() {
                return;
            }
        }
    }

    fn batch(&self, pool: &ThreadPool, epoch: u64, samples: &[usize]) -> Batch {
        let pixels = self.fill(pool, samples, |sample| {
            (sample, random::of_sample(self.seed, epoch, sample as u64))
        });
        let partners = self.partners.as_ref().map(|partners| {
            self.fill(pool, samples, |sample| {
                let mut random = random::of_partner(self.seed, epoch, sample as u64);
                (partners.draw(sample, self.images.label(sample), &mut random), random)
            })
        });
        let labels = samples.iter().map(|&sample| self.images.label(sample) as i64).collect();
        Batch { pixels, labels, partners, shape: self.images.shape() }
    }

    /// For each sample the image that `choose` names, changed by the stream that it gives.
    fn fill(
        &self,
        pool: &ThreadPool,
        samples: &[usize],
        choose: impl Fn(usize) -> (usize, random::Stream) + Sync,
    ) -> BatchPixels {
        let shape = self.images.shape();
        let mut pixels = self.buffers.take(samples.len() * shape.values());
        pool.install(|| {
            pixels
                .par_chunks_exact_mut(shape.values())
                .zip(samples)
                .with_min_len(IMAGES_A_TASK)
                .for_each_init(
                    || Scratch::new(shape),
                    |scratch, (target, &sample)| {
                        let (image, mut random) = choose(sample);
                        let mut canvas = Canvas::new(self.images.image(image), scratch);
                        apply_all(&self.augment, &mut random, &mut canvas);
                        canvas.write(&self.tables, target);
                    },
                );
        });
        self.buffers.lend(pixels)
    }
}

/// The batches of one epoch, in order. Dropping it early stops what makes them.
#[derive(Debug)]
pub struct EpochBatches {
    // Both are `Some` until the epoch ends.
    receiver: Option<Receiver<Batch>>,
    producer: Option<JoinHandle<()>>,
    remaining: usize,
}

impl Iterator for EpochBatches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if let Ok(batch) = self.receiver.as_ref()?.recv() {
            self.remaining -= 1;
            return Some(batch);
        }
        // The producer is gone: it has made everything, or it panicked.
        self.receiver = None;
        self.remaining = 0;
        if let Some(Err(panic)) = self.producer.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for EpochBatches {}

impl std::iter::FusedIterator for EpochBatches {}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        // The receiver first: a producer that waits to send learns that nobody receives.
        self.receiver = None;
        if let Some(producer) = self.producer.take() {
            // Its panic, if any, concerned batches that nobody asked for.
            let _ = producer.join();
        }
    }
}

#[cfg(test)]
mod tests;
