//! The commands of `sd-train`, one file each.

mod config;
mod count;
mod dry_run;
mod eval;
pub mod exit_kinds;
mod export;
mod launch;
pub mod logging;
mod lr_range;
mod predict;
mod train;
mod weights;

pub use config::config;
pub use count::{count, count_experiment};
pub use eval::eval;
pub use export::export;
pub use lr_range::lr_range;
pub use predict::predict;
pub use train::train;
pub use weights::weights;
