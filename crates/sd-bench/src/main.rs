//! The command behind `cargo xtask report`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "sd-bench", bin_name = "cargo xtask", version, about = "Reports of training runs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the report of one run, or of several side by side
    Report(Report),
}

#[derive(Args)]
struct Report {
    /// Folder of a run
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Where to write it [default: the run's own folder; of several runs, report/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the comparison alone as Markdown, and write no file
    #[arg(long, conflicts_with = "out")]
    comparison: bool,
}

fn main() -> ExitCode {
    // Bad usage ends in here, with exit code 2.
    let Cli { command: Command::Report(arguments) } = Cli::parse();
    match report(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report(arguments: &Report) -> anyhow::Result<()> {
    let runs =
        arguments.runs.iter().map(sd_bench::Run::open).collect::<sd_bench::Result<Vec<_>>>()?;
    let mut stdout = std::io::stdout().lock();
    if arguments.comparison {
        let elements = sd_bench::report::comparison(&runs)?;
        anyhow::ensure!(!elements.is_empty(), "nothing to compare: expected several finished runs");
        let text = sd_bench::format::markdown::render_elements(&elements);
        return write!(stdout, "{text}").context("standard output");
    }
    let out = match (&arguments.out, arguments.runs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.clone(),
        (None, _) => PathBuf::from("report"),
    };
    let files = sd_bench::write_report(&runs, &out).context("the report was not written")?;
    for path in files.paths() {
        writeln!(stdout, "{}", path.display()).context("standard output")?;
    }
    Ok(())
}
