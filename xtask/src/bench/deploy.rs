//! An exported network measured as it is deployed: sizes, start, latency, throughput, memory.

use super::peers::document;
use super::python;
use crate::libtorch::{Libtorch, Setup};
use crate::{atomic_write, run, workspace};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use sd_cli::Engine;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Arguments of `bench deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// Folders of runs; all are measured in turns
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// Test images to measure on, in every round
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    images: u16,

    /// Runtimes
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Engine::Native, Engine::Rten, Engine::Ort])]
    engines: Vec<Engine>,

    /// Threads, in turn
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<u16>,

    /// Images a batch, in turn
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 64])]
    batch: Vec<u16>,

    /// Times that everything runs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Seconds that each measurement repeats for
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,

    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    data_dir: PathBuf,

    /// A Python with torch and torchvision, to measure PyTorch too
    #[arg(long, value_name = "PATH", env = "SD_PEERS_PYTHON")]
    python: Option<PathBuf>,
}

/// Starts of the program that are measured, a round.
const STARTS: usize = 10;

/// A black PNG of one pixel.
const PIXEL: [u8; 67] = [
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N',
    b'D', 0xae, 0x42, 0x60, 0x82,
];

/// What is measured with.
#[derive(Debug)]
struct Programs {
    sd_train: PathBuf,
    sd_bench: PathBuf,
    /// `sd-infer` as `cargo xtask infer` builds it, stripped.
    sd_infer: PathBuf,
    python: Option<PathBuf>,
    /// A black PNG of one pixel.
    pixel: PathBuf,
}

/// A run with its exports.
#[derive(Debug)]
struct Deployed<'a> {
    run: &'a Path,
    files: Vec<Exported>,
    /// What `deploy.json` says of the files.
    models: Vec<Value>,
    images: PathBuf,
    rounds: Vec<Value>,
}

/// Exports the runs in every form and scores each, then measures each in each runtime, round by
/// round, beside libtorch and PyTorch, and writes a document into each run's folder.
pub fn deploy(args: &DeployArgs, setup: &Setup, libtorch: &Libtorch) -> Result<ExitCode> {
    let ort = args.engines.contains(&Engine::Ort);
    ensure!(
        !ort || std::env::var_os("ORT_DYLIB_PATH").is_some(),
        "ORT_DYLIB_PATH names no library of ONNX Runtime; --engines native,rten does without"
    );
    let folder = tempfile::tempdir()?;
    let programs = Programs::build(args, setup, libtorch, folder.path())?;
    let sd_data = run::build(&run::SD_DATA, None)?;
    let mut all = Vec::new();
    for (index, run) in args.runs.iter().enumerate() {
        let folder = folder.path().join(index.to_string());
        fs::create_dir(&folder)?;
        let images = folder.join("images");
        let mut draw = Command::new(&sd_data);
        draw.arg("samples").arg(run.join("config.toml")).arg("--out").arg(&images);
        draw.args(["--images", &args.images.to_string()]).arg("--data-dir").arg(&args.data_dir);
        run::finish(&mut draw)?;
        let (files, models) = export(args, &programs, run, &folder)?;
        all.push(Deployed { run, files, models, images, rounds: Vec::new() });
    }
    let command: Vec<String> = std::env::args().skip(1).collect();
    let program_bytes = fs::metadata(&programs.sd_infer)?.len();
    for round in 1..=args.rounds {
        for deployed in &mut all {
            eprintln!("round {round} of {}: {}", args.rounds, deployed.run.display());
            deployed.rounds.push(measure_all(args, &programs, deployed)?);
            let document = json!({
                "schema_version": 1,
                "command": format!("cargo xtask {}", command.join(" ")),
                "program_bytes": program_bytes,
                "models": deployed.models,
                "rounds": deployed.rounds,
            });
            // After each round: what is measured by then outlives an interrupt.
            atomic_write::write(&out(deployed.run), &serde_json::to_vec(&document)?)?;
        }
    }
    for deployed in &all {
        println!("{}", out(deployed.run).display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Where `cargo xtask report` looks for it.
fn out(run: &Path) -> PathBuf {
    run.join("deploy.json")
}

impl Programs {
    fn build(args: &DeployArgs, setup: &Setup, libtorch: &Libtorch, folder: &Path) -> Result<Self> {
        let python = match &args.python {
            Some(python) => Some(python::with_torch(Some(python), setup)?),
            None => None,
        };
        let sd_train = run::build(&run::SD_TRAIN_ALL, Some(libtorch))?;
        let sd_bench = run::build(&run::SD_BENCH, Some(libtorch))?;
        let sd_infer = folder.join("sd-infer");
        let built = run::build(&run::SD_INFER, None)?;
        let status = Command::new("strip").arg("-o").arg(&sd_infer).arg(built).status();
        ensure!(status.is_ok_and(|status| status.success()), "`strip` (binutils) failed");
        let pixel = folder.join("pixel.png");
        fs::write(&pixel, PIXEL)?;
        Ok(Self { sd_train, sd_bench, sd_infer, python, pixel })
    }
}

/// One round of a run.
fn measure_all(args: &DeployArgs, programs: &Programs, deployed: &Deployed) -> Result<Value> {
    let mut exported = Vec::new();
    for file in &deployed.files {
        for job in jobs(args, file) {
            match measure(args, &programs.sd_infer, &deployed.images, file, job) {
                Ok(record) => exported.push(record),
                Err(error) if may_refuse(job.0, file) => eprintln!("{}: {error:#}", file.name),
                Err(error) => return Err(error),
            }
        }
    }
    let deepest = deployed.files.iter().find(|file| file.name == "deepest");
    let deepest = &deepest.context("a network has a deepest exit")?.path;
    let starts = all_starts(args, programs, deployed.run, deepest)?;
    let mut peers = Vec::new();
    for &threads in &args.threads {
        peers.push(ours(args, &programs.sd_bench, deployed.run, threads)?);
        if let Some(python) = &programs.python {
            peers.push(theirs(args, python, deployed.run, threads)?);
        }
    }
    Ok(json!({"exported": exported, "first_label_seconds": starts, "peers": peers}))
}

/// An exported file, or the folder of a staged network.
#[derive(Debug)]
struct Exported {
    name: String,
    path: PathBuf,
    form: Option<&'static str>,
}

/// Every exit alone, the staged network where there is more than one exit, and all of them again
/// in each 8-bit form; with what each weighs and scores on the test images.
fn export(
    args: &DeployArgs,
    programs: &Programs,
    run: &Path,
    folder: &Path,
) -> Result<(Vec<Exported>, Vec<Value>)> {
    let config = run.join("config.toml");
    let counted = document(Command::new(&programs.sd_train).args(["count", "--json"]).arg(config))?;
    let exits = counted[0]["exits"].as_array().context("count tells no exits")?;
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for name in exits.iter().filter_map(|exit| exit["name"].as_str()) {
        kinds.push((name, vec!["--exit", name]));
    }
    if kinds.len() > 1 {
        kinds.push(("staged", vec!["--staged"]));
        kinds.push(("half", vec!["--staged", "--budget", "50"]));
    }
    let (mut files, mut models) = (Vec::new(), Vec::new());
    for (kind, arguments) in &kinds {
        for form in [None, Some("qdq"), Some("convinteger")] {
            let name = form.map_or_else(|| (*kind).to_owned(), |form| format!("{kind}-{form}"));
            let staged = arguments.contains(&"--staged");
            let file = if staged { name.clone() } else { format!("{name}.onnx") };
            let path = folder.join(file);
            let mut command = Command::new(&programs.sd_train);
            command.arg("export").arg(run).args(arguments).arg("--out").arg(&path);
            command.arg("--data-dir").arg(&args.data_dir);
            if let Some(form) = form {
                command.args(["--int8", form]);
            }
            run::finish(&mut command)?;
            let exported = Exported { name, path, form };
            match scored(args, programs, run, &exported)? {
                Some(model) => {
                    models.push(model);
                    files.push(exported);
                }
                None => eprintln!("{}: none of the runtimes takes it", exported.name),
            }
        }
    }
    Ok((files, models))
}

/// What an export weighs, and scores on the test images: the deepest exit's in every runtime that is
/// meant for it, the others in the first of these that takes it. None where none does.
fn scored(
    args: &DeployArgs,
    programs: &Programs,
    run: &Path,
    exported: &Exported,
) -> Result<Option<Value>> {
    let most = if exported.name.starts_with("deepest") { args.engines.len() } else { 1 };
    let (mut top1, mut macs_share) = (serde_json::Map::new(), None);
    for engine in meant(args, exported) {
        if top1.len() == most {
            break;
        }
        let mut eval = Command::new(&programs.sd_train);
        eval.arg("eval").arg(run).arg("--onnx").arg(&exported.path).arg("--json");
        eval.args(["--engine", &name(engine)]).arg("--data-dir").arg(&args.data_dir);
        let score = match document(&mut eval) {
            Err(error) if may_refuse(engine, exported) => {
                eprintln!("{} in {}: {error:#}", exported.name, name(engine));
                continue;
            }
            score => score?,
        };
        top1.insert(name(engine), score["top1"].clone());
        macs_share = Some(score["macs_share"].clone());
    }
    let Some(macs_share) = macs_share else { return Ok(None) };
    Ok(Some(json!({
        "name": exported.name,
        "bytes": size(&exported.path)?,
        "top1": top1,
        "macs_share": macs_share,
    })))
}

/// As on the command line.
fn name(engine: Engine) -> String {
    engine.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The runtimes that compute the file's form as it is meant.
fn meant(args: &DeployArgs, exported: &Exported) -> impl Iterator<Item = Engine> {
    let form = exported.form;
    args.engines.iter().copied().filter(move |&engine| match form {
        None => true,
        Some("qdq") => engine == Engine::Ort,
        Some(_) => engine != Engine::Ort,
    })
}

/// Not every runtime takes every 8-bit convolution, and the native engine not every network.
fn may_refuse(engine: Engine, exported: &Exported) -> bool {
    exported.form.is_some() || engine == Engine::Native
}

fn size(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(fs::metadata(path)?.len());
    }
    fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Engine, threads and batch size of each measurement of a file.
fn jobs(args: &DeployArgs, file: &Exported) -> Vec<(Engine, u16, u16)> {
    let mut jobs = Vec::new();
    for engine in meant(args, file) {
        for &threads in &args.threads {
            jobs.extend(args.batch.iter().map(|&batch| (engine, threads, batch)));
        }
    }
    jobs
}

fn measure(
    args: &DeployArgs,
    program: &Path,
    images: &Path,
    file: &Exported,
    (engine, threads, batch): (Engine, u16, u16),
) -> Result<Value> {
    let mut command = Command::new(program);
    command.arg(&file.path).arg(images).arg(format!("--bench={}", args.seconds));
    command.args(["--json", "--engine", &name(engine)]);
    command.args(["--threads", &threads.to_string(), "--batch", &batch.to_string()]);
    let mut record = document(&mut command)?;
    record["model"] = file.name.clone().into();
    Ok(record)
}

/// Seconds from a start to the first label, by what computes it.
fn all_starts(args: &DeployArgs, programs: &Programs, run: &Path, model: &Path) -> Result<Value> {
    let mut all = serde_json::Map::new();
    for &engine in &args.engines {
        let mut program = Command::new(&programs.sd_infer);
        program.arg(model).arg(&programs.pixel).args(["--engine", &name(engine)]);
        match starts(&mut program) {
            Err(error) if engine == Engine::Native => eprintln!("native: {error:#}"),
            seconds => drop(all.insert(name(engine), seconds?.into())),
        }
    }
    let mut ours = Command::new(&programs.sd_train);
    ours.arg("predict").arg(run).arg(&programs.pixel).args(["--device", "cpu", "--threads", "1"]);
    all.insert("libtorch".to_owned(), starts(&mut ours)?.into());
    if let Some(python) = &programs.python {
        let mut theirs = Command::new(python);
        theirs.arg("-B").arg(workspace::root().join("scripts/peers/start.py"));
        theirs.arg(run.join("config.toml")).args(["--threads", "1"]);
        all.insert("PyTorch eager".to_owned(), starts(&mut theirs)?.into());
    }
    Ok(all.into())
}

/// Seconds from a process's start to its end.
fn starts(command: &mut Command) -> Result<Vec<f64>> {
    let mut start = || {
        let begun = Instant::now();
        let output = command.output()?;
        ensure!(output.status.success(), "{command:?} failed");
        Ok(begun.elapsed().as_secs_f64())
    };
    // One unmeasured, for the system's cache of files.
    let all: Result<Vec<f64>> = (0..=STARTS).map(|_| start()).collect();
    Ok(all?.split_off(1))
}

/// The same network in libtorch.
fn ours(args: &DeployArgs, sd_bench: &Path, run: &Path, threads: u16) -> Result<Value> {
    let mut command = Command::new(sd_bench);
    command.args(["infer", "--json", "--device", "cpu", "-s", "train.precision=\"f32\""]);
    document(peer(args, &mut command, run, threads))
}

/// The same network in PyTorch.
fn theirs(args: &DeployArgs, python: &Path, run: &Path, threads: u16) -> Result<Value> {
    let mut command = Command::new(python);
    command.arg("-B").arg(workspace::root().join("scripts/peers/infer.py"));
    document(peer(args, command.args(["--precision", "f32"]), run, threads))
}

fn peer<'a>(
    args: &DeployArgs,
    command: &'a mut Command,
    run: &Path,
    threads: u16,
) -> &'a mut Command {
    command.arg(run.join("config.toml"));
    for batch in &args.batch {
        command.args(["--batch", &batch.to_string()]);
    }
    command.args(["--seconds", &args.seconds.to_string(), "--threads", &threads.to_string()])
}
