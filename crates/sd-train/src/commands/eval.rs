//! `eval`: every exit of a finished run, from its saved weights.

use anyhow::{Context, Result};
use sd_cli::{EvalArgs, Split, print};
use sd_report::{EvaluationRecord, run_folder};

use super::logging;
use crate::data::device;
use crate::evaluation::{Evaluation, Splits, TrainedModel, weights};
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
    let splits = Splits::open(experiment, &training, data_dir, args.other_images)?;
    let on = |images| {
        let batch = experiment.evaluation_batch();
        Evaluation::new(images, training.normalization(), batch, threads, device)
    };
    let valid = splits.valid.map(on).transpose()?;
    let mut record = match args.split {
        Split::Test => {
            let test = on(splits.test.context(NO_TEST_SPLIT)?)?;
            test.record(network, valid.as_ref(), args.split, args.weights)?
        }
        Split::Valid => {
            let valid = valid.with_context(|| {
                let config = args.run.join(run_folder::CONFIG);
                format!("{}: the run has no validation split (data.validation)", config.display())
            })?;
            valid.record(network, None, args.split, args.weights)?
        }
    };
    record.other_images = splits.differ;
    let path = weights::evaluation_file(args.weights).map(|file| args.run.join(file));
    if let Some(path) = path.filter(|path| args.split == Split::Test && !path.exists())
        && !record.other_images
    {
        run_folder::write_line_atomic(path, &record)?;
    }
    Ok(record)
}
