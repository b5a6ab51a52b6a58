//! Training: the loop, the step, the observer and the records of a run.

pub mod checkpoint;
mod environment;
pub mod non_finite;
mod observer;
mod process;
pub mod run_lock;
mod shadow;
pub mod step;
pub mod step_stats;
mod stop_signal;
mod summary;
mod tensorboard;
mod trainer;

pub use environment::environment;
pub use observer::{Observer, format_accuracies, truncate_epochs};
pub use process::set_up_process;
pub use shadow::ShadowModel;
pub use step::{StepObserver, StepPhase, TrainState};
pub use stop_signal::StopSignal;
pub use summary::{TestScores, summary};
pub use trainer::{Deployed, Outcome, PREFETCH, Trainer};
