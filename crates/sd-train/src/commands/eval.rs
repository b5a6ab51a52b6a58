//! `eval`: every exit of a finished run, from its saved weights.

use anyhow::{Context, Result};
use sd_cli::{EvalArgs, Split, WeightsChoice, print};
use sd_data::split::Split::{Test, Train, Valid};
use sd_models::MultiExit;
use sd_report::format::csv;
use sd_report::{EvaluationRecord, run_folder};

use super::logging;
use crate::data::device;
use crate::evaluation::per_image::per_image;
use crate::evaluation::{Evaluation, Splits, TrainedModel, mistakes, weights};
use crate::export::{NO_TEST_SPLIT, score};

/// Evaluates the run, or an exported file, and prints the result.
///
/// # Errors
/// If the folder is not a run, or its weights or the file have another configuration.
pub fn eval(args: &EvalArgs) -> Result<()> {
    logging::start(None)?;
    if let Some(file) = &args.onnx {
        let score = score(args, file)?;
        let text =
            if args.json { serde_json::to_string_pretty(&score)? } else { score.to_string() };
        return print(text);
    }
    let evaluation = evaluate(args)?;
    if args.json {
        print(serde_json::to_string(&evaluation)?)
    } else {
        print(sd_report::report::evaluation_text(&evaluation))
    }
}

/// Evaluates the run's weights. The first record of the test split is kept in the run's folder; none
/// is replaced.
fn evaluate(args: &EvalArgs) -> Result<EvaluationRecord> {
    let device = device::resolve(args.runtime.device)?;
    let threads = args.runtime.threads();
    tch::set_num_threads(threads as i32);
    let trained = TrainedModel::open(&args.run, args.weights, device)?;
    let TrainedModel { experiment, network, .. } = &trained;
    let data_dir = &args.runtime.data_dir;
    let training = trained.training_data(&args.run, data_dir)?;
    let splits = Splits::open(experiment, &training, data_dir)?;
    let other_images = splits.have_other_images(args.split, args.other_images)?;
    let difference = splits.difference();
    let valid = match args.split {
        Split::Valid => splits.valid()?,
        // Neither temperatures nor thresholds are chosen on other images.
        Split::Test => splits.valid().unwrap_or_default(),
    };
    let on = |images| {
        let batch = experiment.evaluation_batch();
        Evaluation::new(images, training.normalization(), batch, threads, device)
    };
    let [valid, test] = [valid, splits.test].map(|images| images.map(on).transpose());
    let (valid, test) = (valid?, test?);
    let mut record = match args.split {
        Split::Test => {
            let test = test.as_ref().context(NO_TEST_SPLIT)?;
            test.record(network, valid.as_ref(), args.split, args.weights)?
        }
        Split::Valid => {
            let valid = valid.as_ref().with_context(|| {
                let config = args.run.join(run_folder::CONFIG);
                format!("{}: the run has no validation split (data.validation)", config.display())
            })?;
            valid.record(network, None, args.split, args.weights)?
        }
    };
    record.other_images = other_images;
    let path = weights::evaluation_file(args.weights).map(|file| args.run.join(file));
    if let Some(path) = path.filter(|path| args.split == Split::Test && !path.exists())
        && !record.other_images
    {
        run_folder::write_line_atomic(path, &record)?;
    }
    if args.per_image {
        let chosen = if args.split == Split::Test { test.as_ref() } else { valid.as_ref() };
        let chosen = chosen.context("the split was evaluated")?;
        write_per_image(args, network, chosen, &record)?;
        if let Some(difference) = &difference {
            let file = args.run.join(run_folder::MISTAKES);
            tracing::warn!("{} stays as it is: {difference}", file.display());
        } else if args.weights == WeightsChoice::Last && experiment.train.overfit.is_none() {
            let splits = [(Train, Some(on(splits.train)?)), (Valid, valid), (Test, test)];
            let splits = splits.into_iter().filter_map(|(split, images)| Some((split, images?)));
            mistakes::write(&args.run, network, &splits.collect::<Vec<_>>())?;
        }
    }
    Ok(record)
}

/// Writes the predictions for each image of a split. Temperatures and early exit are those that the
/// run recorded.
fn write_per_image(
    args: &EvalArgs,
    network: &MultiExit,
    split: &Evaluation,
    record: &EvaluationRecord,
) -> Result<()> {
    let recorded = weights::recorded(&args.run, args.weights)?;
    let record = recorded.as_ref().unwrap_or(record);
    let policy = record.early_exit.as_ref().and_then(|early| early.policy.as_ref());
    let (names, logits) = (network.exit_names(), split.logits(network)?);
    let table = per_image(split.images(), &names, &logits, &record.temperatures(), policy);
    let path = args.run.join(run_folder::PER_IMAGE);
    run_folder::write_atomic(&path, csv::render(&table)?.as_bytes())?;
    tracing::info!("{}: {} images", path.display(), split.images().len());
    Ok(())
}
