//! The front door: `cargo xtask train` gets libtorch, builds and trains; the rest is beside it.

mod check;
mod doctor;
mod libtorch;
mod run;
#[path = "../../crates/sd-train/src/cli.rs"]
#[expect(dead_code, reason = "parsed here for its help and its errors; sd-train uses the values")]
mod sd_train_cli;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Trains small image classifiers by self-distillation, and everything around it.
///
/// Start with `cargo xtask train`: it fetches libtorch once, builds, trains a small network on
/// images that the repository holds, and prints the path of its report.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// `train`, `eval` and `count`, whose definitions sd-train has.
    #[command(flatten)]
    Experiment(sd_train_cli::Command),
    /// Write a report of one or several runs (HTML, Markdown, CSV)
    #[command(disable_help_flag = true)]
    Report(Passed),
    /// Fetch data sets, or list what is there (`data fetch cifar100`, `data list`)
    #[command(disable_help_flag = true)]
    Data(Passed),
    /// Download libtorch into the user's cache and link it into this clone
    Setup,
    /// Say what is there, what is missing, and the command that mends it
    Doctor,
    /// Run all tests
    #[command(disable_help_flag = true)]
    Test(Passed),
    /// Format, lints, tests, documentation, tidiness: what has to pass before a commit
    Check,
    /// Check the conventions of docs/style.md that a program can check
    Tidy,
}

/// Arguments that are passed on as they are.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Experiment(_) => {
            libtorch::ensure()?;
            run::start("sd-train", None, &std::env::args_os().skip(1).collect::<Vec<_>>())
        }
        Command::Report(passed) => run::start("sd-bench", Some("cli"), &with("report", passed)),
        Command::Data(passed) => run::start("sd-data", Some("fetch"), &passed.arguments),
        Command::Setup => {
            println!("libtorch {}: {}", libtorch::VERSION, libtorch::ensure()?.display());
            Ok(())
        }
        Command::Doctor => doctor::doctor(),
        Command::Test(passed) => check::test(&passed.arguments),
        Command::Check => check::check(),
        Command::Tidy => tidy::tidy(&run::root()),
    }
}

fn with(command: &str, passed: Passed) -> Vec<OsString> {
    std::iter::once(command.into()).chain(passed.arguments).collect()
}
