//! Standard output of programs.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints `output` and a new line. A closed pipe, as with `head`, is not an error: what a command does
/// is complete even if nobody reads on.
///
/// # Errors
/// If standard output cannot be written for another reason.
pub fn print(output: impl Display) -> Result<()> {
    match writeln!(std::io::stdout(), "{output}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
