//! The front door of the workspace: `cargo xtask COMMAND`.
//!
//! It fetches libtorch, builds the program that a command stands for and becomes it. It links no tensor
//! library, so that it compiles in seconds and answers `--help` and a
//! misspelt flag before anything is fetched or built.

#[cfg(not(unix))]
compile_error!("xtask runs on Linux and macOS; on Windows, use it inside WSL");

mod atomic_write;
mod bench;
mod check;
mod demo;
mod doctor;
mod libtorch;
mod run;
mod sweep;
mod tidy;
mod workspace;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use libtorch::{Flavour, Setup};
use sd_cli::Engine;
use std::ffi::OsString;
use std::process::ExitCode;

const START: &str = "\
Start here:
  cargo xtask train                  trains a small network on the images in the repository
  cargo xtask report runs/RUN        shows what came of it
  cargo xtask doctor                 says what is there and what is missing, should that fail

The first `train` fetches libtorch (0.5 GB, into ~/.cache/selfdistill) and builds the workspace,
which takes minutes; after that it starts at once. `cargo xtask COMMAND --help` has the arguments.";

/// Trains small image classifiers by self-distillation, and looks after this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = START)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    SdTrain(sd_cli::Command),
    /// Train every run of a list, skipping what is finished; Ctrl-C stops it, the same command goes on
    Sweep(sweep::SweepArgs),
    /// Measure speed and memory
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Make report.html, report.md and report.csv from finished runs (needs no libtorch)
    #[command(disable_help_flag = true)]
    Report(Passed),
    /// Fetch data sets, show their augmented images, check their counts and duplicates (needs no libtorch)
    #[command(disable_help_flag = true)]
    Data(Passed),
    /// Classify images with an exported network (needs no libtorch)
    #[command(disable_help_flag = true)]
    Infer(Passed),
    /// Write a web page that runs a run's network in the browser, exit by exit
    Demo(demo::DemoArgs),
    /// Fetch libtorch once a user and link it into this clone as .libtorch
    Setup(SetupArgs),
    /// Say what is there, what is missing and how to mend it
    Doctor(DoctorArgs),
    /// Run all tests; ARGS go to `cargo test`
    Test(Passed),
    /// Run all that has to pass before a commit: format, tidy, clippy, documentation, tests
    Check,
    /// Check the conventions of the workspace that no compiler knows
    Tidy,
}

/// Arguments that go to another program as they are.
#[derive(Debug, Args)]
struct Passed {
    /// Arguments, passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

#[derive(Debug, Args)]
struct SetupArgs {
    /// Fetch what CUDA needs too: Linux alone, about 10 GB while it runs; not tried on a GPU
    #[arg(long)]
    cuda: bool,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match dispatch(Xtask::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether an exported file is scored in a runtime that `sd-train` has as a feature alone: asked for,
/// or chosen as `cargo xtask infer` chooses.
fn takes_every_runtime(args: &sd_cli::EvalArgs) -> bool {
    match args.engine {
        Some(engine) => engine == Engine::Ort,
        None => args.onnx.is_some() && std::env::var_os("ORT_DYLIB_PATH").is_some(),
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        // The arguments are right; the program gets them as they were written.
        Command::SdTrain(command) => {
            let libtorch = Setup::from_environment()?.ensure()?;
            let program = match command {
                sd_cli::Command::Eval(args) if takes_every_runtime(&args) => &run::SD_TRAIN_ALL,
                _ => &run::SD_TRAIN,
            };
            run::become_program(program, Some(&libtorch), std::env::args_os().skip(1))
        }
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Bench(bench) => bench::bench(bench),
        Command::Report(passed) => {
            let args = std::iter::once("report".into()).chain(passed.args);
            run::become_program(&run::SD_REPORT, None, args)
        }
        Command::Infer(passed) => run::become_program(&run::SD_INFER, None, passed.args),
        Command::Demo(args) => demo::demo(&args),
        Command::Data(passed) => run::become_program(&run::SD_DATA, None, passed.args),
        Command::Setup(SetupArgs { cuda }) => {
            let flavour = if cuda { Flavour::Cuda } else { Flavour::Cpu };
            let libtorch = Setup::from_environment()?.setup(flavour)?;
            eprintln!("{libtorch}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor(DoctorArgs { json }) => doctor::doctor(json),
        Command::Test(passed) => {
            let libtorch = Setup::from_environment()?.ensure()?;
            run::replace(check::test(&libtorch, &passed.args))
        }
        Command::Check => check::check(),
        Command::Tidy => tidy::tidy(&workspace::root()).map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Xtask::try_parse_from(std::iter::once("xtask").chain(line.split_whitespace()))
            .map(|xtask| xtask.command)
    }

    #[test]
    fn the_definitions_hold_together() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn help_opens_with_what_to_type_first() {
        let help = Xtask::command().render_help().to_string();
        assert!(help.contains("Start here:\n  cargo xtask train "), "{help}");
        assert!(help.contains("Usage: cargo xtask <COMMAND>"), "{help}");
    }

    #[test]
    fn a_misspelt_flag_of_train_is_bad_usage() {
        let error = parse("train --sede 3").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownArgument);
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--seed"), "{error}");
    }

    #[test]
    fn benchmarks_of_both_programs_stand_side_by_side() {
        for line in ["bench step a.toml --json --batch 8,16", "bench peers --only step --rounds 2"]
        {
            assert!(matches!(parse(line), Ok(Command::Bench(_))), "{line}");
        }
        let error = parse("bench speed").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
    }

    #[test]
    fn what_belongs_to_another_program_is_passed_on() {
        for line in ["report --help", "report runs/a --out b", "test -p xtask -- --nocapture"] {
            let (Command::Report(passed) | Command::Test(passed)) = parse(line).unwrap() else {
                panic!("{line} is another command");
            };
            let written = line.split_whitespace().skip(1).collect::<Vec<_>>();
            assert_eq!(passed.args, written);
        }
    }
}
