//! The folder of a run: names of its files, reading, and writes that are complete or do not happen.

mod names;
mod read;
mod write;

pub use names::*;
pub use read::{Run, read_calibration, read_environment, read_epochs, read_evaluation};
#[cfg(any(fuzzing, test))]
pub(crate) use read::{
    parse_calibration, parse_deployment, parse_epochs, parse_evaluation, parse_latency,
    parse_mistakes, parse_summary,
};
pub use write::{
    append_line, is_unfinished, unfinished_name, write_atomic, write_atomic_keeping,
    write_json_atomic, write_line_atomic,
};
