//! `bench peers`: the same work here and in PyTorch, in turns.

use super::pytorch::{Mode, PyTorchOptions, candidates};
use super::{command_line, document, python};
use crate::libtorch::{Libtorch, Setup};
use crate::{atomic_write, run, workspace};
use anyhow::{Context, Result, ensure};
use sd_cli::bench::{STANDARD, seconds};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Arguments of `bench peers`.
#[derive(Debug, clap::Args)]
pub struct PeersArgs {
    /// Configurations to measure [default: a standard list]
    #[arg(value_name = "CONFIG")]
    configs: Vec<PathBuf>,

    /// What to measure
    #[arg(long, value_enum, value_name = "SUBJECT,…", value_delimiter = ',', default_values_t = [Subject::Data, Subject::Step, Subject::Infer])]
    only: Vec<Subject>,

    /// Execution modes of PyTorch; compilation takes the most time
    #[arg(long, value_enum, value_name = "MODE,…", value_delimiter = ',', default_values_t = [Mode::Eager, Mode::Compile])]
    modes: Vec<Mode>,

    /// Number of repetitions of all measurements
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Duration of each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,

    /// Number of threads of both [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Folder for speed.md and speed.json [default: docs/results/speed/DATE-CORES-core-cpu]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Python with torch and torchvision [default: a virtual environment in the user's cache, several
    /// GB]
    #[arg(long, value_name = "PATH", env = "SD_PEERS_PYTHON")]
    python: Option<PathBuf>,
}

/// Work that both can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// The loader
    Data,
    /// A training step
    Step,
    /// Evaluation throughput and latency
    Infer,
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Step => "step",
            Self::Infer => "infer",
        }
    }
}

/// A measurement of each round.
#[derive(Debug)]
struct Job {
    subject: Subject,
    /// `None` for the loader, whose pipelines are built in.
    config: Option<PathBuf>,
    /// Arguments of each PyTorch process.
    pytorch: Vec<Vec<&'static str>>,
}

/// Measures, and writes the records and the table.
pub fn peers(args: &PeersArgs, setup: &Setup, libtorch: &Libtorch) -> Result<ExitCode> {
    let programs = Programs {
        sd_train: run::build(&run::SD_TRAIN, Some(libtorch))?,
        sd_bench: run::build(&run::SD_BENCH, Some(libtorch))?,
        python: python::with_torch(args.python.as_deref(), setup)?,
        scripts: workspace::root().join("scripts/peers"),
        seconds: args.seconds.to_string(),
        threads: threads(args).to_string(),
    };
    let sd_report = run::build(&run::SD_REPORT, None)?;
    let configs = match args.configs.as_slice() {
        [] => STANDARD.iter().map(PathBuf::from).collect(),
        configs => configs.to_vec(),
    };
    programs.check_counts(&configs)?;
    let mut probes = Vec::new();
    let mut jobs = Vec::new();
    for &subject in &args.only {
        match subject {
            Subject::Data => {
                let pytorch = vec![vec!["--mode", "pil"], vec!["--mode", "tensor"]];
                jobs.push(Job { subject, config: None, pytorch });
            }
            Subject::Step | Subject::Infer => {
                for config in &configs {
                    let pytorch = programs.candidates(subject, config, &args.modes, &mut probes);
                    jobs.push(Job { subject, config: Some(config.clone()), pytorch });
                }
            }
        }
    }
    let (mut rounds, mut file) = (Vec::new(), PathBuf::new());
    for round in 1..=args.rounds {
        let mut records = Vec::new();
        for job in &jobs {
            eprintln!("round {round} of {}: {}", args.rounds, job.describe());
            records.push(programs.run_sd_bench(job)?);
            for arguments in &job.pytorch {
                records.push(programs.run_pytorch(
                    job.subject,
                    job.config.as_deref(),
                    arguments,
                )?);
            }
        }
        rounds.push(records);
        // Written after each round, to keep the measurements after an interrupt.
        file = out(args, &rounds)?.join("speed.json");
        let document = json!({"command": command_line(), "rounds": rounds, "probes": probes});
        atomic_write::write(&file, &serde_json::to_vec(&document)?)?;
    }
    let mut report = Command::new(sd_report);
    report.arg("speed").arg(&file);
    run::replace(report)
}

impl Job {
    fn describe(&self) -> String {
        let config = self.config.as_deref().map(|config| config.display().to_string());
        format!("{} {}", self.subject.name(), config.unwrap_or_default())
    }
}

/// The programs and their common arguments.
#[derive(Debug)]
struct Programs {
    sd_train: PathBuf,
    sd_bench: PathBuf,
    python: PathBuf,
    scripts: PathBuf,
    seconds: String,
    threads: String,
}

impl Programs {
    /// Checks that both build networks with the same numbers of parameters.
    fn check_counts(&self, configs: &[PathBuf]) -> Result<()> {
        let ours = document(Command::new(&self.sd_train).args(["count", "--json"]).args(configs))?;
        let pytorch = document(self.script("count.py").args(configs))?;
        for (index, config) in configs.iter().enumerate() {
            let params = |count: &Value| -> Vec<Value> {
                let exits = count["exits"].as_array().into_iter().flatten();
                let exits = exits.map(|exit| exit["params"].clone());
                exits.chain([count["framework"]["params"].clone()]).collect()
            };
            let (expected, found) = (params(&ours[index]), params(&pytorch[index]));
            ensure!(
                found == expected,
                "{}: found {found:?} parameters (each exit, framework) in scripts/peers, expected \
                 {expected:?} as in `cargo xtask count`",
                config.display()
            );
        }
        Ok(())
    }

    /// Options that may be the fastest of each mode for a configuration. Those that fail are reported
    /// and left out.
    fn candidates(
        &self,
        subject: Subject,
        config: &Path,
        modes: &[Mode],
        probes: &mut Vec<Value>,
    ) -> Vec<Vec<&'static str>> {
        let mut all = Vec::new();
        for &mode in modes {
            let mut probed = Vec::new();
            for options in PyTorchOptions::all_of(mode) {
                let mut arguments = options.arguments().to_vec();
                arguments.push("--probe");
                match self.run_pytorch(subject, Some(config), &arguments) {
                    Ok(record) => probed.push((options, record)),
                    Err(error) => eprintln!("{options:?} of {}: {error:#}", config.display()),
                }
            }
            let candidates = candidates(&probed).into_iter();
            all.extend(candidates.map(|options| options.arguments().to_vec()));
            probes.extend(probed.into_iter().map(|(_, record)| record));
        }
        all
    }

    fn run_sd_bench(&self, job: &Job) -> Result<Value> {
        let mut command = Command::new(&self.sd_bench);
        command.args([job.subject.name(), "--json", "--device", "cpu"]);
        command.args(["--seconds", &self.seconds, "--threads", &self.threads]).args(&job.config);
        document(&mut command)
    }

    fn run_pytorch(
        &self,
        subject: Subject,
        config: Option<&Path>,
        arguments: &[&str],
    ) -> Result<Value> {
        let mut command = self.script(&format!("{}.py", subject.name()));
        command.args(config).args(arguments);
        command.args(["--seconds", &self.seconds, "--threads", &self.threads]);
        document(&mut command)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // Without bytecode files beside the scripts.
        command.arg("-B").arg(self.scripts.join(name));
        command
    }
}

fn threads(args: &PeersArgs) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    args.threads.map_or_else(cores, usize::from)
}

/// The requested folder, or one named after the day and the cores of the first record.
fn out(args: &PeersArgs, rounds: &[Vec<Value>]) -> Result<PathBuf> {
    if let Some(folder) = &args.out {
        return Ok(folder.clone());
    }
    let first = rounds.first().and_then(|records| records.first()).context("no record")?;
    let day = first["started"].as_str().and_then(|started| started.get(..10));
    let cores = first["host"]["cores"].as_u64();
    let (day, cores) = day.zip(cores).context("the record has no day or cores")?;
    Ok(workspace::root().join(format!("docs/results/speed/{day}-{cores}-core-cpu")))
}
