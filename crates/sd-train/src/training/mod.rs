//! Training: the loop, the step, the observer and the records of a run.

pub mod checkpoint;
mod environment;
pub(crate) mod non_finite;
mod observer;
mod pretrained;
mod process;
mod processes;
pub(crate) mod run_lock;
mod shadow;
mod step;
mod step_stats;
mod stop_signal;
mod summary;
mod teacher;
mod tensorboard;
mod trainer;

pub(crate) use environment::environment;
pub use observer::{Observer, Request};
pub(crate) use observer::{format_accuracies, truncate_epochs};
pub use process::set_up_process;
pub use shadow::ShadowModel;
pub use step::{StepObserver, StepPhase, TrainState};
pub use step_stats::{StepRecord, StepStats};
pub use stop_signal::StopSignal;
pub(crate) use summary::{TestScores, summary};
pub use teacher::TrainedTeacher;
pub use trainer::{Deployed, Outcome, PREFETCH, Trainer};
