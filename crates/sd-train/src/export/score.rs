//! Accuracy and cost of an exported network on a split.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sd_data::{Loader, LoaderConfig};
use sd_infer::{Classifier, Options};
use sd_report::run_folder;
use serde::Serialize;

use crate::data::batch::channels_first;
use crate::evaluation::{Splits, TrainingData, weights};
use crate::experiment::Experiment;
use sd_cli::Engine;
use sd_cli::{EvalArgs, Split};

/// Error of an evaluation on test images if there are none.
pub const NO_TEST_SPLIT: &str =
    "the data set has no test split; `--split valid` evaluates the validation split";

/// Images per batch.
const BATCH: usize = 64;

/// The score of an exported network.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Score {
    /// Images of the split.
    pub images: usize,
    /// Whether the images differ from those of the training.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other_images: bool,
    /// Share of correctly classified images.
    pub top1: f64,
    /// Mean multiply-accumulates per image, relative to the deepest exit.
    pub macs_share: f64,
    /// Images that stopped at each exit.
    pub left_at: BTreeMap<String, usize>,
}

/// Classifies a split of the run's images with this file, as `sd-infer` does; a staged network stops
/// early by its thresholds.
///
/// # Errors
/// If the folder is not a run, or the file has another configuration.
pub fn score(args: &EvalArgs, file: &Path) -> Result<Score> {
    let config = args.run.join(run_folder::CONFIG);
    let experiment = Experiment::read(&config, &[], None)?.merged();
    let engine = args.engine.map(|engine| match engine {
        Engine::Native => sd_infer::Engine::Native,
        Engine::Rten => sd_infer::Engine::Rten,
        Engine::Ort => sd_infer::Engine::Ort,
    });
    let threads = args.runtime.threads();
    let options = Options { engine, threads, top: 1, ..Options::default() };
    let mut classifier = Classifier::open_with(file, options)?;
    ensure!(
        Experiment::parse(&classifier.metadata().configuration, &[])? == experiment,
        "{}: another configuration than {}",
        file.display(),
        config.display()
    );
    let weights = args.run.join(run_folder::MODEL);
    let recorded = if weights.exists() { weights::data(&weights, &experiment)? } else { None };
    let images = recorded.and_then(|data| data.images);
    let sd_onnx::Metadata { classes, input, .. } = classifier.metadata();
    let training = TrainingData { classes: classes.clone(), input: input.clone(), images };
    let splits = Splits::open(&experiment, &training, &args.runtime.data_dir)?;
    let other_images = splits.have_other_images(args.split, args.other_images)?;
    let images = match args.split {
        Split::Test => splits.test.context(NO_TEST_SPLIT)?,
        Split::Valid => {
            splits.valid()?.context("the run has no validation split (data.validation)")?
        }
    };
    let loader = LoaderConfig::in_order(BATCH, 1, training.normalization());
    let (mut score, mut right) = (Score { other_images, ..Score::default() }, 0);
    for batch in Loader::new(images, loader)?.epoch(0, 0) {
        let batch = batch?;
        let answers = classifier.classify_prepared(channels_first(&batch))?;
        for (answer, &label) in answers.into_iter().zip(&batch.labels) {
            score.images += 1;
            right += usize::from(answer.labels[0].class as i64 == label);
            score.macs_share += answer.share;
            *score.left_at.entry(answer.exit).or_default() += 1;
        }
    }
    let images = score.images.max(1) as f64;
    score.top1 = right as f64 / images;
    score.macs_share /= images;
    Ok(score)
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left: Vec<String> =
            self.left_at.iter().map(|(exit, images)| format!("{exit} {images}")).collect();
        write!(
            f,
            "top-1 {:.2} % of {} images at {:.1} % of the MACs; stopped at {}",
            100.0 * self.top1,
            self.images,
            100.0 * self.macs_share,
            left.join(", ")
        )
    }
}
