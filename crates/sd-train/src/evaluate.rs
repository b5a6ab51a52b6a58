//! Scores of every exit and the ensemble on a split.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sd_bench::{EVALUATION_VERSION, EvaluationRecord, SplitScore};
use sd_data::{ImageSet, Loader, LoaderConfig, Normalization};
use sd_models::{ExitOutputs, MultiExit};
use tch::{Device, Tensor};

use crate::answers::Answers;
use crate::batch::to_tensors;
use crate::cli::{Split, Weights};
use crate::early_exit::{ExitMacs, early_exit};
use crate::meter::Meter;

/// Images a step of an evaluation.
pub(crate) const BATCH: usize = 256;

/// A split, ready to be evaluated on again and again.
#[derive(Debug)]
pub struct Evaluation {
    loader: Loader,
    classes: Vec<String>,
    normalization: Normalization,
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
        let classes = images.class_names().to_vec();
        let config = LoaderConfig::in_order(BATCH, threads, normalization.clone());
        Ok(Self { loader: Loader::new(images, config)?, classes, normalization, device })
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
        self.check_seen(counts.images())?;
        Ok(counts.scores(&names))
    }

    /// What every exit of `network` says of each image.
    ///
    /// # Errors
    /// If not every image was seen.
    pub fn answers(&self, network: &MultiExit) -> Result<Answers> {
        let _no_grad = tch::no_grad_guard();
        let mut answers = Answers::default();
        for (outputs, labels) in self.outputs(network) {
            answers.add(&outputs, &labels);
        }
        self.check_seen(answers.images() as u64)?;
        Ok(answers)
    }

    /// Evaluates `network` in full. `choosing` is the validation split, on which thresholds of early
    /// exit are chosen, to be reported on this one; without it there is no early exit.
    ///
    /// # Errors
    /// If not every image was seen.
    pub fn record(
        &self,
        network: &MultiExit,
        choosing: Option<&Self>,
        split: Split,
        weights: Weights,
    ) -> Result<EvaluationRecord> {
        let answers = self.answers(network)?;
        let mut exits = answers.evaluated(&network.exit_names(), self.classes.len());
        let ensemble = exits.pop().context("an evaluation of no image")?;
        let early_exit = match choosing {
            Some(valid) if exits.len() > 1 => {
                Some(early_exit(&valid.answers(network)?, &answers, &exit_macs(network)?))
            }
            _ => None,
        };
        Ok(EvaluationRecord {
            schema_version: EVALUATION_VERSION,
            split: split.name().to_owned(),
            weights: weights.file().to_owned(),
            images: answers.images() as u64,
            classes: self.classes.clone(),
            mean: self.normalization.mean.clone(),
            deviation: self.normalization.deviation.clone(),
            exits,
            ensemble,
            early_exit,
        })
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

    fn check_seen(&self, seen: u64) -> Result<()> {
        let all = self.loader.images() as u64;
        ensure!(seen == all, "evaluation saw {seen} of {all} images");
        Ok(())
    }
}

/// What an image costs by exit.
pub(crate) fn exit_macs(network: &MultiExit) -> Result<ExitMacs> {
    let macs = |costs: Vec<sd_layers::Cost>| costs.into_iter().map(|cost| cost.macs).collect();
    Ok(ExitMacs {
        alone: macs(network.cost_of_exits()?),
        cascade: macs(network.cost_of_cascade()?),
    })
}
