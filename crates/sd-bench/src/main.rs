//! The program that `cargo xtask bench` starts.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sd_cli::bench::Bench;

/// Measures the speed and memory of the loader, of training steps and of inference.
#[derive(Debug, Parser)]
#[command(name = "sd-bench", bin_name = "cargo xtask bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Bench(Bench),
    /// Train, as `sd-train train` does: the process that `start` measures
    #[command(hide = true)]
    Train(sd_cli::TrainArgs),
}

fn main() -> ExitCode {
    sd_train::training::set_up_process();
    let done = match Cli::parse().command {
        Command::Bench(bench) => measure(&bench),
        Command::Train(args) => sd_train::commands::train(&args).map(|_| ()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(bench: &Bench) -> Result<()> {
    let (record, json) = sd_bench::bench(bench)?;
    let text = if json { serde_json::to_string(&record)? } else { sd_report::speed::text(&record) };
    sd_cli::print(text)
}
