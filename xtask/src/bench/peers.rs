//! The same work here and in PyTorch, in turns.

use super::python;
use super::setting::{Mode, Setting, contenders};
use crate::libtorch::{Libtorch, Setup};
use crate::{atomic_write, run, workspace};
use anyhow::{Context, Result, bail, ensure};
use sd_cli::bench::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Arguments of `bench peers`.
#[derive(Debug, clap::Args)]
pub struct PeersArgs {
    /// Experiments [default: a standard list]
    #[arg(value_name = "CONFIG")]
    configs: Vec<PathBuf>,

    /// Measure some subjects alone, e.g. `--only step,infer`
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Subject::Data, Subject::Step, Subject::Infer])]
    only: Vec<Subject>,

    /// How PyTorch runs; compiling takes the most time
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mode::Eager, Mode::Compile])]
    modes: Vec<Mode>,

    /// Times that every program runs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Seconds that each measurement repeats for
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,

    /// Threads of both [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Folder for speed.md and speed.json [default: docs/results/DATE-CORES-core-cpu]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// A Python with torch and torchvision [default: one of our own in the user's cache, several GB]
    #[arg(long, value_name = "PATH", env = "SD_PEERS_PYTHON")]
    python: Option<PathBuf>,
}

/// What both can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// The loader
    Data,
    /// A training step
    Step,
    /// Evaluation and latency
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

/// What a process of a round measures.
#[derive(Debug)]
struct Job {
    subject: Subject,
    /// None for the loader, whose pipelines are built in.
    config: Option<PathBuf>,
    /// The arguments of PyTorch's processes.
    theirs: Vec<Vec<&'static str>>,
}

/// Measures and writes the table.
pub fn peers(args: &PeersArgs, setup: &Setup, libtorch: &Libtorch) -> Result<ExitCode> {
    let sides = Sides {
        sd_train: run::build(&run::SD_TRAIN, Some(libtorch))?,
        sd_bench: run::build(&run::SD_BENCH, Some(libtorch))?,
        python: python::with_torch(args.python.as_deref(), setup)?,
        scripts: workspace::root().join("scripts/peers"),
        seconds: args.seconds.to_string(),
        threads: threads(args).to_string(),
    };
    let page = run::build(&run::SD_REPORT, None)?;
    let configs = match args.configs.as_slice() {
        [] => STANDARD.iter().map(PathBuf::from).collect(),
        configs => configs.to_vec(),
    };
    sides.check_counts(&configs)?;
    let mut probes = Vec::new();
    let mut jobs = Vec::new();
    for &subject in &args.only {
        match subject {
            Subject::Data => {
                let theirs = vec![vec!["--mode", "pil"], vec!["--mode", "tensor"]];
                jobs.push(Job { subject, config: None, theirs });
            }
            Subject::Step | Subject::Infer => {
                for config in &configs {
                    let theirs = sides.contenders(subject, config, &args.modes, &mut probes);
                    jobs.push(Job { subject, config: Some(config.clone()), theirs });
                }
            }
        }
    }
    let command: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("cargo xtask {}", command.join(" "));
    let (mut rounds, mut file) = (Vec::new(), PathBuf::new());
    for round in 1..=args.rounds {
        let mut records = Vec::new();
        for job in &jobs {
            eprintln!("round {round} of {}: {}", args.rounds, job.describe());
            records.push(sides.ours(job)?);
            for arguments in &job.theirs {
                records.push(sides.theirs(job.subject, job.config.as_deref(), arguments)?);
            }
        }
        rounds.push(records);
        // After each round: what is measured by then outlives an interrupt.
        file = out(args, &rounds)?.join("speed.json");
        let document = json!({"command": command, "rounds": rounds, "probes": probes});
        atomic_write::write(&file, &serde_json::to_vec(&document)?)?;
    }
    run::replace({
        let mut command = Command::new(page);
        command.arg("speed").arg(&file);
        command
    })
}

impl Job {
    fn describe(&self) -> String {
        let config = self.config.as_deref().map(|config| config.display().to_string());
        format!("{} {}", self.subject.name(), config.unwrap_or_default())
    }
}

/// The two programs, and what both are told.
#[derive(Debug)]
struct Sides {
    sd_train: PathBuf,
    sd_bench: PathBuf,
    python: PathBuf,
    scripts: PathBuf,
    seconds: String,
    threads: String,
}

impl Sides {
    /// Both build the same networks, as far as their parameters tell.
    fn check_counts(&self, configs: &[PathBuf]) -> Result<()> {
        let ours = document(Command::new(&self.sd_train).args(["count", "--json"]).args(configs))?;
        let mut theirs = self.script("count.py");
        let theirs = document(theirs.args(configs))?;
        for (index, config) in configs.iter().enumerate() {
            let params = |count: &Value| -> Vec<Value> {
                let exits = count["exits"].as_array().into_iter().flatten();
                let exits = exits.map(|exit| exit["params"].clone());
                exits.chain([count["framework"]["params"].clone()]).collect()
            };
            let (ours, theirs) = (params(&ours[index]), params(&theirs[index]));
            ensure!(
                ours == theirs,
                "{}: found {theirs:?} parameters (each exit, framework) in scripts/peers, \
                 expected {ours:?} as `cargo xtask count` says",
                config.display()
            );
        }
        Ok(())
    }

    /// PyTorch's settings that may be the fastest of their mode for a configuration. One that does
    /// not run is told and left out.
    fn contenders(
        &self,
        subject: Subject,
        config: &Path,
        modes: &[Mode],
        probes: &mut Vec<Value>,
    ) -> Vec<Vec<&'static str>> {
        let mut all = Vec::new();
        for &mode in modes {
            let mut tried = Vec::new();
            for setting in Setting::all_of(mode) {
                let mut arguments = setting.arguments().to_vec();
                arguments.push("--probe");
                match self.theirs(subject, Some(config), &arguments) {
                    Ok(record) => tried.push((setting, record)),
                    Err(error) => eprintln!("{setting:?} of {}: {error:#}", config.display()),
                }
            }
            let contenders = contenders(&tried).into_iter();
            all.extend(contenders.map(|setting| setting.arguments().to_vec()));
            probes.extend(tried.into_iter().map(|(_, record)| record));
        }
        all
    }

    fn ours(&self, job: &Job) -> Result<Value> {
        let mut command = Command::new(&self.sd_bench);
        command.args([job.subject.name(), "--json", "--device", "cpu"]);
        command.args(["--seconds", &self.seconds, "--threads", &self.threads]).args(&job.config);
        document(&mut command)
    }

    fn theirs(&self, subject: Subject, config: Option<&Path>, arguments: &[&str]) -> Result<Value> {
        let mut command = self.script(&format!("{}.py", subject.name()));
        command.args(config).args(arguments);
        command.args(["--seconds", &self.seconds, "--threads", &self.threads]);
        document(&mut command)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // Nothing is left beside the scripts.
        command.arg("-B").arg(self.scripts.join(name));
        command
    }
}

/// The JSON that the command prints; its messages pass through.
pub fn document(command: &mut Command) -> Result<Value> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} failed ({})", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} printed no JSON"))
}

fn threads(args: &PeersArgs) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    args.threads.map_or_else(cores, usize::from)
}

/// The folder asked for, or one named after the day and the machine of the first record.
fn out(args: &PeersArgs, rounds: &[Vec<Value>]) -> Result<PathBuf> {
    if let Some(folder) = &args.out {
        return Ok(folder.clone());
    }
    let first = rounds.first().and_then(|records| records.first()).context("no record")?;
    let day = first["started"].as_str().and_then(|started| started.get(..10));
    let cores = first["host"]["cores"].as_u64();
    let (day, cores) = day.zip(cores).context("the record has no day or cores")?;
    Ok(workspace::root().join(format!("docs/results/{day}-{cores}-core-cpu")))
}
