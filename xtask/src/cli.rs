//! The command line of `cargo xtask`.

use crate::{bench, demo, sweep};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;

const START: &str = "\
Start here:
  cargo xtask train                  trains a small network on images from this repository
  cargo xtask report runs/RUN        writes a report of one or more runs
  cargo xtask doctor                 if something fails: checks what is installed

The first `train` downloads libtorch (0.5 GB, to ~/.cache/selfdistill) and builds the workspace,
which takes minutes. Later it starts at once. `cargo xtask COMMAND --help` lists the arguments.";

/// Trains small image classifiers by self-distillation, and checks this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = START)]
pub struct Xtask {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(flatten)]
    SdTrain(sd_cli::Command),
    /// Train every run of a list. Ctrl-C stops it; the same command continues it
    Sweep(sweep::SweepArgs),
    /// Measure speed and memory
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write a report of one run, or compare several: HTML, Markdown, CSV (needs no libtorch)
    #[command(disable_help_flag = true)]
    Report(Passed),
    /// Name the most accurate exit, or ensemble, of several runs under limits (needs no libtorch)
    #[command(disable_help_flag = true)]
    Choose(Passed),
    /// Download, show, check and pack data sets (needs no libtorch)
    #[command(disable_help_flag = true)]
    Data(Passed),
    /// Classify images with an exported network (needs no libtorch)
    #[command(disable_help_flag = true)]
    Infer(Passed),
    /// Write a web page that runs the network of a run in the browser, exit by exit
    Demo(demo::DemoArgs),
    /// Download libtorch once per user and link it into this clone as .libtorch
    Setup(SetupArgs),
    /// Check what is installed, and print how to install what is missing
    Doctor(DoctorArgs),
    /// Run all tests, or those that the arguments of `cargo test` choose
    Test(Passed),
    /// Run every check that a commit must pass: format, tidy, clippy, documentation, tests
    Check,
    /// Check conventions of this workspace that the compiler does not check
    Tidy,
}

/// Arguments for another program.
#[derive(Debug, Args)]
pub struct Passed {
    /// Arguments of the program, passed on unchanged
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Download CUDA support too: Linux only, needs 10 GB during the download, not tested on a GPU
    #[arg(long)]
    pub cuda: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
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
    fn the_definitions_are_consistent() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn help_shows_the_first_commands() {
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
    fn bench_accepts_the_benchmarks_of_both_programs() {
        for line in ["bench step a.toml --json --batch 8,16", "bench peers --only step --rounds 2"]
        {
            assert!(matches!(parse(line), Ok(Command::Bench(_))), "{line}");
        }
        let error = parse("bench speed").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
    }

    #[test]
    fn comparing_benchmarks_refuse_numbers_out_of_range() {
        assert!(parse("bench deploy runs/a --threads 1,2 --batch 1,64 --seconds 0.5").is_ok());
        for line in [
            "deploy runs/a --threads 1,0",
            "deploy runs/a --threads 1025",
            "deploy runs/a --batch 0",
            "deploy runs/a --seconds=-1",
            "deploy runs/a --seconds nan",
            "peers --seconds inf",
            "peers --threads 1025",
        ] {
            let error = parse(&format!("bench {line}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{line}");
        }
    }

    #[test]
    fn arguments_of_another_program_are_passed_on() {
        for line in ["report --help", "report runs/a --out b", "test -p xtask -- --nocapture"] {
            let (Command::Report(passed) | Command::Test(passed)) = parse(line).unwrap() else {
                panic!("{line} is another command");
            };
            let written = line.split_whitespace().skip(1).collect::<Vec<_>>();
            assert_eq!(passed.args, written);
        }
    }
}
