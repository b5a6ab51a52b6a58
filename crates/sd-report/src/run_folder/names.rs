//! Names of the files in the folder of a run.

/// The resolved configuration, written before the first step.
pub const CONFIG: &str = "config.toml";
/// An [`Environment`](crate::Environment), written before the first step.
pub const ENVIRONMENT: &str = "environment.json";
/// One [`EpochRecord`](crate::EpochRecord) per line, appended after each epoch.
pub const EPOCHS: &str = "epochs.jsonl";
/// The same as a table, rewritten after each epoch.
pub const EPOCHS_CSV: &str = "epochs.csv";
/// Folder of TensorBoard event files.
pub const TENSORBOARD: &str = "tb";
/// A [`RunRecord`](crate::RunRecord), written when the run ends.
pub const SUMMARY: &str = "summary.json";
/// A [`RunRecord`](crate::RunRecord) of a run that has not finished, rewritten after each epoch.
pub const PROGRESS: &str = "progress.json";
/// An [`EvaluationRecord`](crate::EvaluationRecord) of the weights after the last epoch, written when the run ends,
/// or by `eval` if it is missing.
pub const EVALUATION: &str = "evaluation.json";
/// The same for the weights of the best epoch, if they were evaluated.
pub const BEST_EVALUATION: &str = "evaluation-best.json";
/// A [`CalibrationRecord`](crate::CalibrationRecord) of the weights after the last epoch, written when
/// the run ends.
pub const CALIBRATION: &str = "calibration.json";
/// The same for the weights of the best epoch.
pub const BEST_CALIBRATION: &str = "calibration-best.json";
/// A [`MistakesRecord`](crate::MistakesRecord) with pictures, written when the run ends and by
/// `eval --per-image`.
pub const MISTAKES: &str = "mistakes.json";
/// Every exit's prediction for each image of the evaluated split, by `eval --per-image`.
pub const PER_IMAGE: &str = "per-image.csv";
/// A [`DeployRecord`](crate::DeployRecord), written by `cargo xtask bench deploy`.
pub const DEPLOYMENT: &str = "deploy.json";
/// A [`BenchRecord`](crate::BenchRecord), written by `cargo xtask bench infer RUN`.
pub const LATENCY: &str = "latency.json";
/// The weights after the last epoch.
pub const MODEL: &str = "model.safetensors";
/// The weights of the best epoch by validation accuracy.
pub const BEST_MODEL: &str = "best.safetensors";
/// The checkpoint that a resumed run starts from.
pub const LAST_CHECKPOINT: &str = "last.ckpt.safetensors";
/// The checkpoint before it, in case the last is damaged.
pub const PREVIOUS_CHECKPOINT: &str = "previous.ckpt.safetensors";
/// Locked by the process that trains in the folder.
pub const LOCK: &str = ".lock";
/// The structured log, one JSON document per line.
pub const LOG: &str = "log.jsonl";
/// The report as one page.
pub const REPORT_HTML: &str = "report.html";
/// The report as Markdown; its figures lie in [`FIGURES`].
pub const REPORT_MARKDOWN: &str = "report.md";
/// The numbers of the report, one row per run and exit.
pub const REPORT_CSV: &str = "report.csv";
/// Folder of the Markdown report's figures.
pub const FIGURES: &str = "figures";
