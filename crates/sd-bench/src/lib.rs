//! Benchmarks of the loader, training steps and inference.
//!
//! Each subject is a file that fills a [`BenchRecord`]. Every configuration is measured in a process
//! of its own, so that peak memory is its own and no leftovers of the allocator speed up the next
//! one. The benches of single layers, in `benches/`, use criterion.
//!
//! ```
//! use std::time::Duration;
//!
//! let sum = || (0..1000_u64).sum::<u64>();
//! let timing = sd_bench::timing::measure_for(2, Duration::ZERO, (5, 10), sum);
//! assert_eq!(timing.raw_seconds.len(), 5);
//! ```

mod data;
mod exits;
mod infer;
mod overhead;
mod start;
mod step;
pub mod timing;

pub use data::pipelines;
pub use step::Steps;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sd_cli::BenchArgs;
use sd_cli::bench::{Bench, STANDARD};
use sd_layers::Precision;
use sd_report::{BenchRecord, Measurement, Subject, Timing, process_memory, run_folder, speed};
use sd_train::commands::logging;
use sd_train::data::device;
use sd_train::experiment::Experiment;
use tch::{Cuda, Device};

/// Default configurations of `exits`.
const LIGHT: [&str; 2] =
    ["configs/cifar100/resnet18-grouped8-light.toml", "configs/cifar100/vgg11-grouped8-light.toml"];
/// Default configurations of `overhead`.
const DISTILLED: [&str; 1] = ["configs/cifar100/vgg11-grouped8-light.toml"];
/// Default configuration of `start`: its images are in the repository.
const QUICKSTART: [&str; 1] = ["configs/quickstart.toml"];

/// Turns that several configurations take, so that other load on the machine affects all of them.
const TURNS: u32 = 3;

/// Unmeasured repetitions: libtorch chooses and compiles kernels in the first.
const WARM_UP: usize = 2;
/// Minimum and maximum number of repetitions.
const RUNS: (usize, usize) = (3, 1000);

/// Runs a benchmark; also returns whether to print it as JSON.
///
/// # Errors
/// Names the file, key or value that is wrong.
pub fn bench(bench: &Bench) -> Result<(BenchRecord, bool)> {
    let (subject, args, default): (_, _, &[&str]) = match bench {
        Bench::Data(args) => (Subject::Data, args, &[]),
        Bench::Step(args) => (Subject::Step, args, &STANDARD),
        Bench::Infer(args) => (Subject::Infer, args, &STANDARD),
        Bench::Exits(args) => (Subject::Exits, args, &LIGHT),
        Bench::Overhead(args) => (Subject::Overhead, args, &DISTILLED),
        Bench::Start(args) => (Subject::Start, args, &QUICKSTART),
    };
    let min_batch = match subject {
        Subject::Data | Subject::Infer => 1,
        // Batch norm needs the variance of more than one image.
        Subject::Step | Subject::Exits | Subject::Overhead | Subject::Start => 2,
    };
    ensure!(
        args.batch.iter().all(|&batch| batch >= min_batch),
        "--batch: found {:?}, expected at least {min_batch}",
        args.batch
    );
    logging::start(None)?;
    let configs = match args.configs.as_slice() {
        [] => default.iter().map(PathBuf::from).collect(),
        configs => configs.to_vec(),
    };
    let device = device::resolve(args.runtime.device)?;
    let program = format!("selfdistill {}", env!("CARGO_PKG_VERSION"));
    let threads = args.runtime.threads();
    let mut record = BenchRecord::begin(subject, program, threads, device::name(device));
    let targets = configs.into_iter().map(|path| Target::new(path, subject, args));
    let targets = targets.collect::<Result<Vec<_>>>()?;
    record.measurements = match targets.as_slice() {
        [] => data::built_in(&Stopwatch::new(args, device, Precision::F32), args)?,
        [target] => target.keep(&record, one(subject, &target.config, args, device)?)?,
        several => {
            let each = in_turns(subject, several, args)?.into_iter().zip(several);
            let each = each.map(|(measurements, target)| target.keep(&record, measurements));
            each.collect::<Result<Vec<_>>>()?.concat()
        }
    };
    Ok((record, args.json))
}

/// A configuration to measure.
#[derive(Debug)]
struct Target {
    config: PathBuf,
    /// Folder of the run, if a run is measured.
    run: Option<PathBuf>,
}

impl Target {
    /// A configuration named on the command line, or the folder of a run for `infer`.
    fn new(path: PathBuf, subject: Subject, args: &BenchArgs) -> Result<Self> {
        if subject != Subject::Infer || !path.is_dir() {
            return Ok(Self { config: path, run: None });
        }
        let folder = path.display();
        ensure!(
            args.set.is_empty(),
            "{folder}: a run is measured with its own configuration, without -s"
        );
        let config = path.join(run_folder::CONFIG);
        for file in [&config, &path.join(run_folder::SUMMARY)] {
            ensure!(
                file.is_file(),
                "{folder} is not a finished run: {} is missing",
                file.display()
            );
        }
        Ok(Self { config, run: Some(path) })
    }

    /// Writes the measurements into the folder of the run, for its reports.
    fn keep(
        &self,
        record: &BenchRecord,
        measurements: Vec<Measurement>,
    ) -> Result<Vec<Measurement>> {
        if let Some(run) = &self.run {
            let file = run.join(run_folder::LATENCY);
            let record = BenchRecord { measurements: measurements.clone(), ..record.clone() };
            run_folder::write_line_atomic(file, &record)?;
        }
        Ok(measurements)
    }
}

fn one(
    subject: Subject,
    config: &Path,
    args: &BenchArgs,
    device: Device,
) -> Result<Vec<Measurement>> {
    tch::set_num_threads(args.runtime.threads() as i32);
    let experiment = Experiment::read(config, &args.set, None)?;
    let stopwatch = Stopwatch::new(args, device, experiment.precision(device)?);
    match subject {
        Subject::Data => data::of_config(&stopwatch, &experiment, args),
        Subject::Step => step::measure(&stopwatch, &experiment, args),
        Subject::Infer => infer::measure(&stopwatch, &experiment, args),
        Subject::Exits => exits::measure(&stopwatch, &experiment, args),
        Subject::Overhead => overhead::measure(&stopwatch, &experiment, args),
        Subject::Start => start::measure(&stopwatch, &experiment, config, args),
    }
}

/// Measures the configurations one after the other, [`TURNS`] times.
fn in_turns(
    subject: Subject,
    targets: &[Target],
    args: &BenchArgs,
) -> Result<Vec<Vec<Measurement>>> {
    let mut all = vec![Vec::new(); targets.len()];
    for turn in 1..=TURNS {
        for (target, before) in targets.iter().zip(&mut all) {
            let name = target.config.display();
            tracing::info!("bench {}, turn {turn} of {TURNS}: {name}", subject.name());
            let measurements = in_own_process(subject, &target.config, args)?;
            if before.is_empty() {
                *before = measurements;
            } else {
                before.iter_mut().zip(measurements).for_each(|(before, now)| before.add(now));
            }
        }
    }
    Ok(all)
}

/// Measures one turn of a configuration in a process of its own.
fn in_own_process(subject: Subject, config: &Path, args: &BenchArgs) -> Result<Vec<Measurement>> {
    let mut child = this_program()?;
    child.arg(subject.name()).arg(config).arg("--json");
    child.arg("--seconds").arg((args.seconds / f64::from(TURNS)).to_string());
    for batch in &args.batch {
        child.arg("--batch").arg(batch.to_string());
    }
    for change in &args.set {
        child.arg("--set").arg(change);
    }
    pass_runtime(&mut child, args);
    let output = child.stderr(Stdio::inherit()).output().context("cannot start a benchmark")?;
    ensure!(output.status.success(), "the benchmark of {} failed", config.display());
    let record: BenchRecord = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the benchmark of {} printed no record", config.display()))?;
    Ok(record.measurements)
}

fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find this program's file")?))
}

/// Passes on `--data-dir`, `--device` and `--threads`.
fn pass_runtime(child: &mut Command, args: &BenchArgs) {
    child.arg("--data-dir").arg(&args.runtime.data_dir);
    child.arg("--device").arg(args.runtime.device.to_string());
    child.arg("--threads").arg(args.runtime.threads().to_string());
}

/// Measures closures and labels the measurements.
#[derive(Debug)]
struct Stopwatch {
    budget: Duration,
    device: Device,
    precision: Precision,
}

/// Label of a measurement.
#[derive(Debug, Clone, Copy)]
struct Label<'a> {
    config: &'a str,
    part: &'a str,
    /// Images per batch.
    batch: usize,
    /// Images per repetition.
    images: usize,
}

impl Stopwatch {
    fn new(args: &BenchArgs, device: Device, precision: Precision) -> Self {
        Self { budget: Duration::from_secs_f64(args.seconds), device, precision }
    }

    /// Repeats `work` for the budget, and records its peak memory.
    fn measure<T>(&self, label: Label, mut work: impl FnMut() -> T) -> Measurement {
        process_memory::reset_peak();
        let timing = timing::measure_for(WARM_UP, self.budget, RUNS, || {
            let result = work();
            self.wait();
            result
        });
        self.label(label, timing)
    }

    /// Waits for the device: a GPU works asynchronously.
    fn wait(&self) {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(index as i64);
        }
    }

    /// A measurement with these times and the current peak memory.
    fn label(&self, label: Label, timing: Timing) -> Measurement {
        Measurement {
            config: label.config.to_owned(),
            part: label.part.to_owned(),
            mode: speed::NATIVE.to_owned(),
            precision: format!("{:?}", self.precision).to_lowercase(),
            layout: "channels_last".to_owned(),
            batch: label.batch,
            images: label.images,
            peak_memory_bytes: process_memory::peak_bytes(),
            timing,
        }
    }
}

/// Batch sizes of the arguments, or the default.
fn batches(args: &BenchArgs, default: &[usize]) -> Vec<usize> {
    if args.batch.is_empty() { default.to_vec() } else { args.batch.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configurations_parse() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for config in STANDARD.iter().chain(&LIGHT).chain(&DISTILLED).chain(&QUICKSTART) {
            Experiment::read(&root.join(config), &[], None).unwrap();
        }
    }
}
