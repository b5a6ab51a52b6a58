//! The binary behind `cargo xtask report` and the page of `cargo xtask bench peers`.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use sd_report::report::{Limits, SECTIONS, Section};
use sd_report::{Error, Run, Status};

#[derive(Parser)]
#[command(
    name = "sd-report",
    bin_name = "cargo xtask",
    version,
    about = "Reports of training runs"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a report that describes one run or compares several
    Report(Report),
    /// Name the most accurate exit, or ensemble of exits, under limits, by validation accuracy
    Choose(Choose),
    /// Write speed.md from the speed.json of `bench peers`
    Speed(Speed),
}

#[derive(Args)]
struct Report {
    /// Folder of a run, finished or not; with several, folders without a run are skipped
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Output folder [default: the folder of the run; for several runs, report/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print only this section as Markdown and write no files
    #[arg(long, value_name = "ID", conflicts_with = "out", value_parser = section)]
    section: Option<Section>,
}

#[derive(Args)]
struct Choose {
    /// Folders of runs on one data set; runs that have not finished are skipped
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Milliseconds for one image alone, as `bench deploy` measured them on one machine
    #[arg(long, value_name = "MS", value_parser = positive)]
    max_ms: Option<f64>,
    /// Megabytes of the exported file, as `bench deploy` measured them
    #[arg(long, value_name = "MB", value_parser = positive)]
    max_mb: Option<f64>,
    /// Multiply-accumulates per image: 20000000, 20M, 0.5G
    #[arg(long, value_name = "MACS", value_parser = macs)]
    max_macs: Option<u64>,
}

#[derive(Args)]
struct Speed {
    /// The measurements
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

fn section(id: &str) -> Result<Section, String> {
    let names = || SECTIONS.iter().map(|section| section.id).collect::<Vec<_>>().join(", ");
    sd_report::report::section(id).ok_or_else(|| format!("expected one of {}", names()))
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("found `{text}`, expected a number above 0"))
}

fn macs(text: &str) -> Result<u64, String> {
    let units = [('k', 1e3), ('M', 1e6), ('G', 1e9)];
    let (digits, unit) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .unwrap_or((text, 1.0));
    let macs = positive(digits).map_err(|_| {
        format!("found `{text}`, expected a number above 0, with k, M or G after it or not")
    });
    Ok((macs? * unit) as u64)
}

fn main() -> ExitCode {
    // Exits with code 2 on bad usage.
    let result = match Cli::parse().command {
        Command::Report(arguments) => report(&arguments),
        Command::Choose(arguments) => choose(&arguments),
        Command::Speed(arguments) => speed(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report(arguments: &Report) -> anyhow::Result<()> {
    let runs = open(&arguments.runs)?;
    if let Some(section) = arguments.section {
        let elements = (section.build)(&runs)?;
        anyhow::ensure!(!elements.is_empty(), "the section {} is empty for these runs", section.id);
        let text = sd_report::format::markdown::render_elements(&elements);
        return print(text);
    }
    let out = match (&arguments.out, arguments.runs.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.clone(),
        (None, _) => PathBuf::from("report"),
    };
    let files = sd_report::write_report(&runs, &out).context("the report was not written")?;
    for paragraph in sd_report::report::findings(&runs) {
        print(format_args!("{paragraph}\n\n"))?;
    }
    for path in files.paths() {
        print(format_args!("{}\n", path.display()))?;
    }
    Ok(())
}

fn choose(arguments: &Choose) -> anyhow::Result<()> {
    let runs = open(&arguments.runs)?;
    for run in runs.iter().filter(|run| run.summary.status != Status::Finished) {
        eprintln!("skipped: {}: the run has not finished", run.folder.display());
    }
    let limits = Limits {
        milliseconds: arguments.max_ms,
        megabytes: arguments.max_mb,
        macs: arguments.max_macs,
    };
    let best = sd_report::report::choose(&runs, &limits)?;
    print(format_args!("{best}\nnext: {}\n", best.export()))
}

/// Opens the runs in the folders with what they have so far. With several folders, as in `runs/*`,
/// files, sweeps and runs before the end of their first epoch are skipped.
fn open(folders: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    if let [folder] = folders {
        return Ok(vec![Run::open_so_far(folder)?]);
    }
    let mut runs = Vec::new();
    for folder in folders {
        if folder.is_file() {
            eprintln!("skipped: {} is a file", folder.display());
            continue;
        }
        match Run::open_so_far(folder) {
            Err(error @ (Error::NotARun { .. } | Error::NotFinished { .. })) => {
                eprintln!("skipped: {error}");
            }
            run => runs.push(run?),
        }
    }
    anyhow::ensure!(!runs.is_empty(), "none of these folders holds a run with an epoch");
    Ok(runs)
}

fn speed(arguments: &Speed) -> anyhow::Result<()> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let peers = serde_json::from_str(&text)
        .with_context(|| format!("{}: not a record of `bench peers`", file.display()))?;
    let page = file.with_extension("md");
    let text = sd_report::format::markdown::render(&sd_report::speed::document(&peers));
    sd_report::run_folder::write_atomic(&page, text.as_bytes())?;
    print(format_args!("{}\n", page.display()))
}

/// Writes `text` to standard output. A closed pipe, as with `head`, is not an error.
fn print(text: impl Display) -> anyhow::Result<()> {
    match write!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}
