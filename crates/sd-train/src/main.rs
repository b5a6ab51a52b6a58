//! The program that `cargo xtask train`, `eval` and the other commands of [`sd_cli::Command`] start.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sd_cli::{Cli, Command};
use sd_train::commands;
use sd_train::training::{Outcome, set_up_process};

fn main() -> ExitCode {
    set_up_process();
    run(Cli::parse().command).unwrap_or_else(|error| {
        // Standard error may be closed.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(args) => {
            return Ok(match commands::train(&args)? {
                Outcome::Finished => ExitCode::SUCCESS,
                Outcome::Interrupted(code) => ExitCode::from(code),
            });
        }
        Command::Predict(args) => {
            let all = commands::predict(&args)?;
            return Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Eval(args) => commands::eval(&args)?,
        Command::Count(args) => commands::count(&args)?,
        Command::Config(command) => commands::config(command)?,
        Command::LrRange(args) => commands::lr_range(&args)?,
        Command::Export(args) => commands::export(&args)?,
        Command::Weights(command) => commands::weights(&command)?,
    }
    Ok(ExitCode::SUCCESS)
}
