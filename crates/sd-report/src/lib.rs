//! Numbers: what a measurement is, how to time one, and how to print one.
//!
//! A training run leaves a folder behind. This crate defines what is written into it
//! ([`record`]), writes it so that a crash leaves no half of anything ([`run_folder`]), and
//! turns one such folder or several into a report ([`report`]). It knows nothing of tensors or
//! training and links no libtorch: a report can be made wherever the folder is.
//!
//! Three rules keep the numbers honest.
//!
//! * **Records are apart from printing.** What is recorded is exact: fractions between 0 and 1,
//!   plain counts, seconds. Rounding and units belong to [`mod@format`].
//! * **The deployed network, the framework and each exit are counted apart.** The *framework* is
//!   what is trained, with every exit; the *deployed* network is what remains when the shallow
//!   exits are dropped; each exit has the cost of the network that ends there.
//! * **What is not known is not shown as a number.** A score is `None` until it is measured, and
//!   a loss that was not finite stays visible as such.
//!
//! The report's sections map records to a small document model ([`report::Element`]), from
//! which HTML and Markdown are written; a new section is one file in `report/` and a line in
//! [`report::SECTIONS`]. [`measurement`] holds what benchmarks write, and
//! [`speed`] shows it.
//!
//! # Example
//!
//! A record, and the report of it:
//!
//! ```
//! use sd_report::{Cost, EnsembleScore, ExitScore, Run, RunRecord, SCHEMA_VERSION, Status};
//! use sd_report::{format::markdown, report};
//!
//! # fn main() -> sd_report::Result<()> {
//! let exit = |name: &str, test_top1, params, macs| ExitScore {
//!     name: name.to_owned(),
//!     test_top1: Some(test_top1),
//!     test_top5: None,
//!     test_loss: None,
//!     params,
//!     macs,
//! };
//! let summary = RunRecord {
//!     schema_version: SCHEMA_VERSION,
//!     status: Status::Finished,
//!     name: "example".to_owned(),
//!     model: "a small network".to_owned(),
//!     model_summary: None,
//!     dataset: "some images".to_owned(),
//!     objective: "self-distillation".to_owned(),
//!     objective_summary: None,
//!     seed: 0,
//!     epochs: 1,
//!     steps: 100,
//!     stopped_early: false,
//!     exits: vec![exit("stage1", 0.25, 1_000, 50_000), exit("deepest", 0.5, 4_000, 90_000)],
//!     ensemble: EnsembleScore { test_top1: Some(0.5), test_top5: None, test_loss: None },
//!     deployed: Cost { params: 4_000, macs: 90_000 },
//!     framework: Cost { params: 4_500, macs: 95_000 },
//!     dense_original: Some(Cost { params: 32_000, macs: 720_000 }),
//!     best: None,
//!     images_per_second: 1_000.0,
//!     seconds: 12.5,
//! };
//! let run = Run {
//!     folder: "runs/example".into(),
//!     config: "[train]\nepochs = 1\n".parse().expect("TOML"),
//!     environment: None,
//!     epochs: Vec::new(),
//!     epochs_truncated: false,
//!     evaluation: None,
//!     deployment: None,
//!     latency: None,
//!     summary,
//! };
//! let text = markdown::render(&report::document(&[run])?);
//! assert!(text.starts_with("# example\n"));
//! assert!(text.contains("- Parameters, deployed: **4.00 k**, 8.00× fewer than dense, 32.0 k"));
//! # Ok(())
//! # }
//! ```
//!
//! [`write_report`] does the same for a folder and leaves the files in it.

mod configuration;
pub mod deployment;
pub mod document;
mod environment;
mod epochs_csv;
mod error;
pub mod evaluation;
pub mod figure;
pub mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod measurement;
pub mod process_memory;
pub mod record;
pub mod report;
mod report_files;
pub mod run_folder;
pub mod speed;
pub mod stats;
mod timing;

pub use configuration::Configuration;
pub use deployment::{DEPLOY_VERSION, DeployRecord, DeployRound, ExportedModel, ExportedTiming};
pub use environment::{Host, rfc3339};
pub use epochs_csv::write_epochs_csv;
pub use error::{Error, Result};
pub use evaluation::{EVALUATION_VERSION, EarlyExit, EvaluationRecord, ExitEvaluation, ExitRule};
pub use measurement::{BenchRecord, Measurement, Subject};
pub use record::{
    BackboneSummary, BestEpoch, Choice, Cost, EnsembleScore, Environment, EpochRecord,
    ExitAccuracy, ExitScore, ExitsSummary, MixingSummary, ModelSummary, ObjectiveSummary,
    RunRecord, SCHEMA_VERSION, SplitScore, Status,
};
pub use report_files::{ReportFiles, write_report};
pub use run_folder::{Run, append_line, write_json_atomic};
pub use timing::Timing;
