//! Evaluation: scores of every exit and the ensemble on a split.

mod accuracy;
pub mod early_exit;
pub(crate) mod logits;
pub mod meter;
pub mod mistakes;
pub mod per_image;
pub mod predictions;
mod splits;
mod temperature;
pub mod thresholds;
mod trained;
mod training_data;
pub mod weights;

pub use accuracy::label_ranks;
pub use logits::Logits;
pub use splits::Splits;
pub use trained::TrainedModel;
pub use training_data::TrainingData;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use sd_cli::{Split, WeightsChoice};
use sd_data::{ImageSet, Loader, LoaderConfig, Normalization, Shard};
use sd_distributed::Processes;
use sd_models::{ExitOutputs, MultiExit};
use sd_report::evaluation::TemperatureScaling;
use sd_report::{EVALUATION_VERSION, EarlyExit, EvaluationRecord, SplitScore};
use tch::{Device, Tensor};

use crate::data::batch::to_tensors;
use early_exit::ExitMacs;
use meter::Meter;
use predictions::Predictions;
use thresholds::{CarriedPredictions, TOLERANCE, within_points};

/// A split to evaluate on.
#[derive(Debug)]
pub struct Evaluation {
    loader: Loader,
    images: Arc<ImageSet>,
    normalization: Normalization,
    device: Device,
    processes: Processes,
}

impl Evaluation {
    /// Evaluation on all of `images`, in order, `batch` at once, without augmentation.
    ///
    /// # Errors
    /// The loader's.
    pub fn new(
        images: Arc<ImageSet>,
        normalization: Normalization,
        batch: usize,
        threads: usize,
        device: Device,
    ) -> Result<Self> {
        let config = LoaderConfig::in_order(batch, threads, normalization);
        Self::with(images, config, device)
    }

    fn with(images: Arc<ImageSet>, config: LoaderConfig, device: Device) -> Result<Self> {
        Ok(Self {
            normalization: config.normalization.clone(),
            loader: Loader::new(Arc::clone(&images), config)?,
            images,
            device,
            processes: Processes::single(),
        })
    }

    /// The same evaluation, whose [`scores`](Self::scores) are computed by all processes together:
    /// each counts its share of the images.
    ///
    /// # Errors
    /// If there are fewer images than processes.
    pub fn shared_by(self, processes: &Processes) -> Result<Self> {
        ensure!(
            self.images.len() >= processes.count(),
            "the validation split has {} images, expected at least as many as the {} processes",
            self.images.len(),
            processes.count()
        );
        let shard = Shard::new(processes.rank(), processes.count());
        Ok(Self { loader: self.loader.shard(shard), processes: processes.clone(), ..self })
    }

    /// Its images, in the order of the outputs.
    pub fn images(&self) -> &ImageSet {
        &self.images
    }

    /// Accuracy and loss of every exit of `network` and of the ensemble.
    ///
    /// # Errors
    /// If not every image was seen, a loss is not finite, or another process is gone.
    pub fn scores(&self, network: &MultiExit) -> Result<SplitScore> {
        let _no_grad = tch::no_grad_guard();
        let names = network.exit_names();
        let mut meter = Meter::default();
        for batch in self.outputs(network) {
            let (outputs, labels) = batch?;
            meter.add(&outputs, &labels);
        }
        let counts = meter.read_over(&self.processes)?;
        self.check_seen(counts.images())?;
        let scores = counts.scores(&names);
        for exit in scores.exits.iter().chain([&scores.ensemble]) {
            check_finite(&exit.name, exit.loss)?;
        }
        Ok(scores)
    }

    /// Logits of every exit of `network` for each image.
    ///
    /// # Errors
    /// If not every image was seen.
    pub fn logits(&self, network: &MultiExit) -> Result<Logits> {
        let _no_grad = tch::no_grad_guard();
        let mut logits = Logits::default();
        for batch in self.outputs(network) {
            let (outputs, labels) = batch?;
            logits.add(&outputs, &labels);
        }
        self.check_seen(logits.images() as u64)?;
        Ok(logits)
    }

    /// Evaluates `network` in full. Temperatures and early exit are included if there is a validation
    /// split to fit and choose them on, `valid`.
    ///
    /// # Errors
    /// If not every image was seen, or a loss is not finite.
    pub fn record(
        &self,
        network: &MultiExit,
        valid: Option<&Self>,
        split: Split,
        weights: WeightsChoice,
    ) -> Result<EvaluationRecord> {
        let logits = self.logits(network)?;
        let predictions = logits.predictions(&[]);
        let mut exits = predictions.evaluated(&network.exit_names(), self.images.classes());
        for exit in &exits {
            check_finite(&exit.name, exit.loss)?;
        }
        let mut early_exit = None;
        if let Some(valid) = valid {
            let valid = valid.logits(network)?;
            let temperatures = valid.temperatures();
            let scaled = logits.predictions(&temperatures);
            for (exit, &temperature) in temperatures.iter().enumerate() {
                let scaling = TemperatureScaling::of(temperature, &scaled.labelled(exit));
                exits[exit].scaling = Some(scaling);
            }
            if network.exit_names().len() > 1 {
                early_exit = Some(self::early_exit(&valid, &scaled, &exit_macs(network)?));
            }
        }
        let ensemble = exits.pop().context("an evaluation of no image")?;
        Ok(EvaluationRecord {
            schema_version: EVALUATION_VERSION,
            split: split.name().to_owned(),
            weights: weights::file(weights).to_owned(),
            images: logits.images() as u64,
            classes: self.images.class_names().to_vec(),
            mean: self.normalization.mean.clone(),
            deviation: self.normalization.deviation.clone(),
            other_images: false,
            exits,
            ensemble,
            early_exit,
        })
    }

    /// Outputs of `network` for all images in order, with their labels, batch by batch; ends with an
    /// error if an image cannot be read.
    pub fn outputs<'a>(
        &'a self,
        network: &'a MultiExit,
    ) -> impl Iterator<Item = Result<(ExitOutputs, Tensor)>> + 'a {
        self.loader.epoch(0, 0).map(|batch| {
            let (images, labels) = to_tensors(batch?, self.device);
            Ok((network.forward_exits(&images, false), labels))
        })
    }

    /// Checks that an evaluation saw every image.
    fn check_seen(&self, seen: u64) -> Result<()> {
        let all = self.images.len() as u64;
        ensure!(seen == all, "evaluation saw {seen} of {all} images");
        Ok(())
    }
}

/// Early exit on `test`, with values and the policy chosen on `valid`.
fn early_exit(valid: &Logits, test: &Predictions, macs: &ExitMacs) -> EarlyExit {
    let carried = CarriedPredictions::all(valid);
    let policy = within_points(&carried, macs, TOLERANCE);
    let early = early_exit::early_exit(&carried[0].predictions, test, macs);
    EarlyExit { policy: Some(policy), ..early }
}

/// A loss that is not finite comes from such logits, which predict nothing.
fn check_finite(exit: &str, loss: f64) -> Result<()> {
    ensure!(
        loss.is_finite(),
        "the loss of {exit} is {loss}: the logits of an image are not finite"
    );
    Ok(())
}

/// Multiply-accumulates per image, by exit.
pub(crate) fn exit_macs(network: &MultiExit) -> Result<ExitMacs> {
    let macs = |costs: Vec<sd_layers::Cost>| costs.into_iter().map(|cost| cost.macs).collect();
    Ok(ExitMacs {
        alone: macs(network.cost_of_exits()?),
        cascade: macs(network.cost_of_cascade()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use sd_layers::Precision;
    use std::path::Path;
    use tch::nn;

    /// The loader drops the last incomplete batch, as in training.
    #[test]
    fn a_part_of_the_images_is_refused() {
        let quick_start =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
        let changes =
            ["model.exits.after=[1]", "model.backbone.vgg.width=0.125"].map(str::to_owned);
        let experiment = Experiment::read(&quick_start, &changes, None).unwrap();
        let (shape, classes) = experiment.data.input();
        let names = (0..classes).map(|class| class.to_string()).collect();
        let images = ImageSet::new(shape, vec![7; 3 * shape.values()], vec![0, 1, 2], names);
        let images = Arc::new(images.unwrap());
        let vs = nn::VarStore::new(Device::Cpu);
        let (model, task) = (&experiment.model, experiment.task());
        let network = MultiExit::build(&vs.root(), model, task, Precision::F32).unwrap();

        let normalization =
            Normalization { mean: vec![0.5; shape.channels], deviation: vec![0.5; shape.channels] };
        let all = LoaderConfig::in_order(2, 1, normalization);
        let part = LoaderConfig { drop_last: true, ..all.clone() };
        let on = |config| Evaluation::with(Arc::clone(&images), config, Device::Cpu).unwrap();
        assert_eq!(on(all.clone()).logits(&network).unwrap().images(), 3);
        on(all).scores(&network).unwrap();
        let (part, expected) = (on(part), "evaluation saw 2 of 3 images");
        assert_eq!(part.scores(&network).unwrap_err().to_string(), expected);
        assert_eq!(part.logits(&network).unwrap_err().to_string(), expected);
        let record = part.record(&network, None, Split::Test, WeightsChoice::Last);
        assert_eq!(record.unwrap_err().to_string(), expected);
    }
}
