//! Records of training runs and benchmarks, and reports made from them.
//!
//! ```no_run
//! use sd_report::{Run, write_report};
//!
//! let run = Run::open("runs/quickstart-seed0")?;
//! let deepest = run.summary.exits.last().expect("a network has an exit");
//! println!("{}: {:?} of the test images", run.summary.name, deepest.test_top1);
//! let files = write_report(&[run], "report".as_ref())?;
//! println!("see {}", files.html.display());
//! # Ok::<(), sd_report::Error>(())
//! ```
//!
//! * [`record`], [`evaluation`], [`calibration`], [`deployment`] and [`measurement`] define what is
//!   recorded; [`run_folder`] reads and writes it.
//! * [`report`] turns runs into a [`document`] with [`figure`]s, which [`mod@format`] renders as HTML,
//!   Markdown, CSV or terminal text. [`speed`] does so for benchmarks.
//!
//! The crate links no libtorch: a report can be made wherever the folder of a run is. Three rules:
//!
//! * **Records are exact**: fractions between 0 and 1, plain counts, seconds. Only [`mod@format`] rounds
//!   and adds units.
//! * **Costs are separate** for the *framework*, which is trained with all exits, for the *deployed*
//!   network without its shallow exits, and for the network that ends at each exit.
//! * **Unknown values are not numbers**: a score is `None` until it is measured, and a loss that was
//!   not finite stays visible as such.

pub mod calibration;
mod configuration;
pub mod deployment;
pub mod document;
mod environment;
mod epochs_csv;
mod error;
pub mod evaluation;
pub mod figure;
pub mod format;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod measurement;
pub mod mistakes;
pub mod process_memory;
pub mod record;
pub mod report;
mod report_files;
pub mod run_folder;
pub mod speed;
pub mod stats;
mod timing;

pub use calibration::{CALIBRATION_VERSION, CalibrationRecord, FeatureMapRanges};
pub use configuration::Configuration;
pub use deployment::{DEPLOY_VERSION, DeployRecord, DeployRound, ExportedModel, ExportedTiming};
pub use environment::{Host, rfc3339};
pub use epochs_csv::write_epochs_csv;
pub use error::{Error, Result};
pub use evaluation::{EVALUATION_VERSION, EarlyExit, EvaluationRecord, ExitEvaluation, ExitRule};
pub use measurement::{BenchRecord, Measurement, Subject};
pub use mistakes::MistakesRecord;
pub use record::{
    BackboneSummary, BestEpoch, Choice, Cost, ENSEMBLE, EnsembleScore, Environment, EpochRecord,
    ExitAccuracy, ExitScore, ExitsSummary, MixingSummary, ModelSummary, ObjectiveSummary,
    RunRecord, SCHEMA_VERSION, SplitScore, Status,
};
pub use report_files::{ReportFiles, write_page, write_report};
pub use run_folder::{Run, append_line, write_json_atomic};
pub use timing::Timing;
