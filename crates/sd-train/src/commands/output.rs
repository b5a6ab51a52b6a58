//! What a command answers with, on standard output.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints an answer and a new line. Where its reader has had enough, as `head` has, that is no
/// error.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(answer: impl Display) -> Result<()> {
    match writeln!(std::io::stdout(), "{answer}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
