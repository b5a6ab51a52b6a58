//! The loader: batches of images, made ahead of the training loop.

use crate::augment::{Canvas, Scratch, apply_all, check_all};
use crate::random;
use crate::source::{Reader, View};
use crate::{AugmentConfig, Error, ImageSet, ImageShape, Normalization, Result};
use crossbeam_channel::{Receiver, Sender};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

mod buffer_pool;
mod partners;
mod shard;

pub use buffer_pool::BatchPixels;
use buffer_pool::BufferPool;
use partners::Partners;
pub use shard::Shard;

/// Images in memory per task: few enough to balance a batch over the threads, enough to amortise the
/// scheduling. Each image that is decoded is a task of its own.
const IMAGES_PER_TASK: usize = 8;

/// Configuration of a [`Loader`].
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Images per batch; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// Number of threads that fill a batch. Does not change the batches.
    pub threads: usize,
    /// Number of finished batches that wait. With 0, one batch is made ahead but not queued.
    pub prefetch: usize,
    /// Seed of the order and the augmentation.
    pub seed: u64,
    /// Order of the images.
    pub order: Order,
    /// Whether to drop a last batch that is not full.
    pub drop_last: bool,
    /// Whether each image comes with another image of its class, see [`Batch::partners`].
    pub partners: bool,
    /// Augmentations, in order; empty for evaluation.
    pub augment: Vec<AugmentConfig>,
    /// Normalisation of the pixels.
    pub normalization: Normalization,
}

impl LoaderConfig {
    /// Every image once, in order, normalised and not augmented: for evaluation.
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

/// Order of the images in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of the set.
    Sequential,
    /// A new permutation each epoch.
    Shuffled,
}

/// A batch of images, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[N, H, W, C]`, normalised.
    pub pixels: BatchPixels,
    /// `[N]`
    pub labels: Vec<i64>,
    /// `[N, H, W, C]`, if [`LoaderConfig::partners`] is set: for each image a random, augmented image
    /// of its class. An image that is alone in its class is its own partner.
    pub partners: Option<BatchPixels>,
    /// The shape of each image.
    pub shape: ImageShape,
}

impl Batch {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the batch has no images. Batches of a loader are never empty.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Makes batches of an [`ImageSet`], epoch by epoch.
///
/// A batch depends only on the images, `batch_size`, `order`, `augment`, `normalization` and (seed,
/// epoch, sample): not on the number of threads, on earlier epochs, or on the batch at which an
/// epoch starts. A clone shares the images and the threads.
#[derive(Clone, Debug)]
pub struct Loader {
    work: Arc<Work>,
    pool: Arc<ThreadPool>,
    prefetch: usize,
    shard: Shard,
}

impl Loader {
    /// Checks `config` against `images` and starts the threads.
    ///
    /// # Errors
    /// If an epoch would have no batch, a value of `config` is out of range, or the threads cannot be
    /// started.
    pub fn new(images: Arc<ImageSet>, config: LoaderConfig) -> Result<Self> {
        for (name, value) in [("batch_size", config.batch_size), ("threads", config.threads)] {
            if value == 0 {
                return Err(Error::value(name, 0, "at least 1"));
            }
        }
        if images.is_empty() {
            return Err(Error::image_set("no images", "at least one"));
        }
        if config.drop_last && config.batch_size > images.len() {
            let count = images.len();
            let expected = format!(
                "at most {count}, the number of images, because an incomplete batch is left out"
            );
            return Err(Error::value("batch_size", config.batch_size, expected));
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
            partners: config.partners.then(|| Partners::new(images.labels(), images.classes())),
            view: match config.augment.first() {
                Some(first) if first.get().crops_the_original() => View::Original,
                _ => View::Fitted,
            },
            workers: (0..config.threads).map(|_| Worker::new(images.shape())).collect(),
            images_per_task: if images.is_in_memory() { IMAGES_PER_TASK } else { 1 },
            images,
            tables: config.normalization.tables(),
            augment: config.augment,
            seed: config.seed,
            order: config.order,
            batch_size: config.batch_size,
            drop_last: config.drop_last,
            // Waiting batches, the one being made and the one in use; twice as many with partners.
            buffers: BufferPool::new(
                config.prefetch.saturating_add(2).saturating_mul(1 + usize::from(config.partners)),
            ),
        };
        let (work, pool) = (Arc::new(work), Arc::new(pool));
        Ok(Self { work, pool, prefetch: config.prefetch, shard: Shard::WHOLE })
    }

    /// The same loader, which makes this shard of each batch.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// Batches per epoch; one more than a [`Shard`] makes if it would have no image of the last one.
    pub fn batches(&self) -> usize {
        self.work.batches()
    }

    /// Images per epoch: fewer than in the set if a last batch is dropped.
    pub fn images(&self) -> usize {
        self.work.images.len().min(self.batches() * self.work.batch_size)
    }

    /// The batches of an epoch from `first_batch` (counted from 0), made in the background. Empty if
    /// the epoch has no more than `first_batch` batches.
    ///
    /// The iterator ends with an error if an image cannot be read; the error names its file.
    ///
    /// # Panics
    /// If the thread cannot be started. A panic in a loader thread resumes in the iterator's `next`.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> EpochBatches {
        let shard = self.shard;
        // Of a last batch that is not full, a shard may have no image.
        let last = self.images() - (self.batches() - 1) * self.work.batch_size;
        let batches = first_batch..self.batches() - usize::from(shard.of(last).is_empty());
        let (sender, receiver) = crossbeam_channel::bounded(self.prefetch);
        let (work, pool, remaining) =
            (Arc::clone(&self.work), Arc::clone(&self.pool), batches.len());
        let produce = move || work.produce(&pool, epoch, batches, shard, &sender);
        let producer = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(produce)
            .expect("the thread starts");
        EpochBatches { receiver: Some(receiver), producer: Some(producer), remaining }
    }
}

/// State shared by the threads.
#[derive(Debug)]
struct Work {
    images: Arc<ImageSet>,
    partners: Option<Partners>,
    tables: Vec<[f32; 256]>,
    augment: Vec<AugmentConfig>,
    view: View,
    /// One per thread.
    workers: Vec<Mutex<Worker>>,
    images_per_task: usize,
    seed: u64,
    order: Order,
    batch_size: usize,
    drop_last: bool,
    buffers: BufferPool,
}

impl Work {
    fn batches(&self) -> usize {
        if self.drop_last {
            self.images.len() / self.batch_size
        } else {
            self.images.len().div_ceil(self.batch_size)
        }
    }

    /// Sends the batches in order until they end, one fails, or the receiver is dropped.
    fn produce(
        &self,
        pool: &ThreadPool,
        epoch: u64,
        batches: Range<usize>,
        shard: Shard,
        to: &Sender<Result<Batch>>,
    ) {
        let order = match self.order {
            Order::Sequential => (0..self.images.len()).collect(),
            Order::Shuffled => self.images.shuffled(self.seed, epoch),
        };
        for samples in order.chunks(self.batch_size).take(batches.end).skip(batches.start) {
            let samples = &samples[shard.of(samples.len())];
            let batch = self.batch(pool, epoch, samples);
            let failed = batch.is_err();
            if to.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn batch(&self, pool: &ThreadPool, epoch: u64, samples: &[usize]) -> Result<Batch> {
        let pixels = self.fill(pool, samples, |sample| {
            (sample, random::of_sample(self.seed, epoch, sample as u64))
        })?;
        let partners = self.partners.as_ref().map(|partners| {
            self.fill(pool, samples, |sample| {
                let mut random = random::of_partner(self.seed, epoch, sample as u64);
                (partners.draw(sample, self.images.label(sample), &mut random), random)
            })
        });
        let partners = partners.transpose()?;
        let labels = samples.iter().map(|&sample| self.images.label(sample) as i64).collect();
        Ok(Batch { pixels, labels, partners, shape: self.images.shape() })
    }

    /// For each sample, the image that `choose` returns, augmented with the stream it returns.
    fn fill(
        &self,
        pool: &ThreadPool,
        samples: &[usize],
        choose: impl Fn(usize) -> (usize, random::Stream) + Sync,
    ) -> Result<BatchPixels> {
        let shape = self.images.shape();
        let mut pixels = self.buffers.acquire(samples.len() * shape.values());
        let write = |(target, &sample): (&mut [f32], &usize)| {
            let thread = rayon::current_thread_index().unwrap_or_default();
            let worker = &mut *self.workers[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let (image, mut random) = choose(sample);
            let picture = self.images.read(image, self.view, &mut worker.reader)?;
            let mut canvas = Canvas::of(picture, &mut worker.scratch);
            apply_all(&self.augment, &mut random, &mut canvas);
            canvas.write(&self.tables, target);
            Ok(())
        };
        let images = pixels.par_chunks_exact_mut(shape.values()).zip(samples);
        let tasks = images.with_min_len(self.images_per_task).with_max_len(self.images_per_task);
        pool.install(|| tasks.try_for_each(write))?;
        Ok(self.buffers.wrap(pixels))
    }
}

/// Memory of a thread, reused from image to image.
#[derive(Debug)]
struct Worker {
    reader: Reader,
    scratch: Scratch,
}

impl Worker {
    fn new(shape: ImageShape) -> Mutex<Self> {
        Mutex::new(Self { reader: Reader::default(), scratch: Scratch::new(shape) })
    }
}

/// The batches of one epoch, in order, up to the first error. Dropping it early stops the producer.
#[derive(Debug)]
pub struct EpochBatches {
    // Both are `Some` until the epoch ends.
    receiver: Option<Receiver<Result<Batch>>>,
    producer: Option<JoinHandle<()>>,
    remaining: usize,
}

impl Iterator for EpochBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if let Ok(batch) = self.receiver.as_ref()?.recv() {
            self.remaining = if batch.is_ok() { self.remaining - 1 } else { 0 };
            return Some(batch);
        }
        // The producer has ended: it is finished or it panicked.
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
        // The receiver first: this wakes a producer that waits to send.
        self.receiver = None;
        if let Some(producer) = self.producer.take() {
            // A panic would concern batches that were never requested.
            let _ = producer.join();
        }
    }
}

#[cfg(test)]
mod tests;
