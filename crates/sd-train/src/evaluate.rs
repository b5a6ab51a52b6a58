//! Scores of every exit and the ensemble on a split.

use std::sync::Arc;

use anyhow::{Result, ensure};
use sd_bench::SplitScore;
use sd_data::{ImageSet, Loader, LoaderConfig, Normalization};
use sd_models::{ExitOutputs, MultiExit};
use tch::{Device, Tensor};

use crate::batch::to_tensors;
use crate::meter::Meter;

/// Images a step of an evaluation.
pub(crate) const BATCH: usize = 256;

/// A split, ready to be evaluated on again and again.
#[derive(Debug)]
pub struct Evaluation {
    loader: Loader,
    device: Device,
}

impl Evaluation {
    /// Evaluation on all of `images`, in order, without augmentation.
    ///
    /// # Errors
    /// The loader's.
    pub fn new(
        images: Arc<ImageSet>,
        normalization: Normalization,
        threads: usize,
        device: Device,
    ) -> Result<Self> {
        let config = LoaderConfig::in_order(BATCH, threads, normalization);
        Ok(Self { loader: Loader::new(images, config)?, device })
    }

    /// The scores of `network`, with its running statistics.
    ///
    /// # Errors
    /// If not every image was seen.
    pub fn run(&self, network: &MultiExit) -> Result<SplitScore> {
        let _no_grad = tch::no_grad_guard();
        let names = network.exit_names();
        let mut meter = Meter::default();
        for (outputs, labels) in self.outputs(network) {
            meter.add(&outputs, &labels);
        }
        let counts = meter.read();
        let (seen, all) = (counts.images(), self.loader.images() as u64);
        ensure!(seen == all, "evaluation saw {seen} of {all} images");
        Ok(counts.scores(&names))
    }

    /// The outputs of `network` for all images, in order, batch by batch with their labels.
    pub fn outputs<'a>(
        &'a self,
        network: &'a MultiExit,
    ) -> impl Iterator<Item = (ExitOutputs, Tensor)> + 'a {
        self.loader.epoch(0, 0).map(|batch| {
            let (images, labels) = to_tensors(&batch, self.device);
            (network.forward_exits(&images, false), labels)
        })
    }
}
