//! Standard output of commands.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints `output` and a new line. A closed pipe, as with `head`, is not an error.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(output: impl Display) -> Result<()> {
    match writeln!(std::io::stdout(), "{output}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
