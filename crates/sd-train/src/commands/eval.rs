//! `eval`: every exit of a finished run, from its saved weights.

use anyhow::{Context, Result};
use sd_cli::{EvalArgs, Split};
use sd_report::{EvaluationRecord, run_folder};

use super::logging;
use super::output::print;
use crate::data::device;
use crate::evaluation::{Evaluation, TrainedModel, weights};
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

/// Evaluates the run's weights; the record of the test split is kept in the run's folder.
fn evaluate(args: &EvalArgs) -> Result<EvaluationRecord> {
    let device = device::resolve(args.runtime.device)?;
    let threads = args.runtime.threads();
    tch::set_num_threads(threads as i32);
    let TrainedModel { experiment, network } = TrainedModel::open(&args.run, args.weights, device)?;
    let data = experiment.open_data(&args.runtime.data_dir)?;
    let on = |images| Evaluation::new(images, data.normalization.clone(), threads, device);
    let valid = data.valid.clone().map(on).transpose()?;
    match args.split {
        Split::Test => {
            let test = on(data.test.clone().context(NO_TEST_SPLIT)?)?;
            let record = test.record(&network, valid.as_ref(), args.split, args.weights)?;
            let path = args.run.join(weights::evaluation_file(args.weights));
            run_folder::write_line_atomic(path, &record)?;
            Ok(record)
        }
        Split::Valid => {
            let valid = valid.with_context(|| {
                let config = args.run.join(run_folder::CONFIG);
                format!("{}: the run has no validation split (data.validation)", config.display())
            })?;
            valid.record(&network, None, args.split, args.weights)
        }
    }
}
