//! Benchmarks: the loader, a training step, inference, and what surrounds them.
//!
//! Each subject is a file here that fills a [`BenchRecord`]. Every configuration is measured in a
//! process of its own, so that peak memory is its own and no allocator's leftovers speed up the
//! next one.

mod data;
mod exits;
mod infer;
mod overhead;
mod start;
mod step;

pub use data::pipelines;
pub use step::Steps;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sd_bench::{BenchRecord, Measurement, Subject, Timing, run_folder, speed, timing};
use sd_layers::Precision;
use tch::{Cuda, Device};

use crate::cli::{Bench, BenchArgs, STANDARD};
use crate::config::Experiment;
use crate::{device, logging};

/// What `exits` measures unless it is told.
const LIGHT: [&str; 2] =
    ["configs/cifar100/resnet18-grouped8-light.toml", "configs/cifar100/vgg11-grouped8-light.toml"];
/// What `overhead` measures unless it is told.
const DISTILLED: [&str; 1] = ["configs/cifar100/vgg11-grouped8-light.toml"];
/// What `start` measures unless it is told: its images are in the repository.
const QUICKSTART: [&str; 1] = ["configs/quickstart.toml"];

/// Turns of several configurations, a part of each one's seconds long: what else the machine does for
/// a while falls on all of them.
const TURNS: u32 = 3;

/// Repetitions before the measured ones: libtorch chooses and compiles kernels in the first.
const WARM_UP: usize = 2;
/// Repetitions at least and at most, however short or long one takes.
const RUNS: (usize, usize) = (3, 1000);

/// Runs a benchmark; also tells whether it is to be printed as JSON.
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
    let least = match subject {
        Subject::Data | Subject::Infer => 1,
        // Batch norm has no variance of one image.
        Subject::Step | Subject::Exits | Subject::Overhead | Subject::Start => 2,
    };
    ensure!(
        args.batch.iter().all(|&batch| batch >= least),
        "--batch: found {:?}, expected at least {least}",
        args.batch
    );
    logging::start(None)?;
    let configs = match args.configs.as_slice() {
        [] => default.iter().map(PathBuf::from).collect(),
        configs => configs.to_vec(),
    };
    let device = device::resolve(args.place.device)?;
    let program = format!("selfdistill {}", env!("CARGO_PKG_VERSION"));
    let threads = args.place.threads();
    let mut record = BenchRecord::begin(subject, program, threads, device::name(device));
    let targets = configs.into_iter().map(|path| Target::of(path, subject, args));
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
    /// The folder of the run that it is of.
    run: Option<PathBuf>,
}

impl Target {
    /// What is named on the command line: a configuration, or a run's folder if the exits' times
    /// are measured.
    fn of(path: PathBuf, subject: Subject, args: &BenchArgs) -> Result<Self> {
        if subject != Subject::Infer || !path.is_dir() {
            return Ok(Self { config: path, run: None });
        }
        let folder = path.display();
        ensure!(
            args.set.is_empty(),
            "{folder}: of a run its own configuration is measured, without -s"
        );
        let config = path.join(run_folder::CONFIG);
        for file in [&config, &path.join(run_folder::SUMMARY)] {
            ensure!(
                file.is_file(),
                "{folder} is no run that has ended: {} is not there",
                file.display()
            );
        }
        Ok(Self { config, run: Some(path) })
    }

    /// Leaves what was measured in the run's folder, for its reports.
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
    tch::set_num_threads(args.place.threads() as i32);
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

/// Measures each configuration, one after the other and that [`TURNS`] times.
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

/// Measures one configuration of several, for a turn, as if it had been the only one.
fn in_own_process(subject: Subject, config: &Path, args: &BenchArgs) -> Result<Vec<Measurement>> {
    let mut child = this_program()?;
    child.arg("bench").arg(subject.name()).arg(config).arg("--json");
    child.arg("--seconds").arg((args.seconds / f64::from(TURNS)).to_string());
    for batch in &args.batch {
        child.arg("--batch").arg(batch.to_string());
    }
    for change in &args.set {
        child.arg("--set").arg(change);
    }
    place(&mut child, args);
    let output = child.stderr(Stdio::inherit()).output().context("cannot start a benchmark")?;
    ensure!(output.status.success(), "the benchmark of {} failed", config.display());
    let record: BenchRecord = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the benchmark of {} printed no record", config.display()))?;
    Ok(record.measurements)
}

fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find this program's file")?))
}

/// Hands `--data-dir`, `--device` and `--threads` on.
fn place(child: &mut Command, args: &BenchArgs) {
    child.arg("--data-dir").arg(&args.place.data_dir);
    child.arg("--device").arg(args.place.device.to_string());
    child.arg("--threads").arg(args.place.threads().to_string());
}

/// How long things take, and how measurements are labelled.
#[derive(Debug)]
struct Stopwatch {
    budget: Duration,
    device: Device,
    precision: Precision,
}

/// What is measured, for its label.
#[derive(Debug, Clone, Copy)]
struct Label<'a> {
    config: &'a str,
    part: &'a str,
    /// Images a batch.
    batch: usize,
    /// Images a repetition.
    images: usize,
}

impl Stopwatch {
    fn new(args: &BenchArgs, device: Device, precision: Precision) -> Self {
        Self { budget: Duration::from_secs_f64(args.seconds), device, precision }
    }

    /// Repeats `work` for the budget, and keeps the most memory held meanwhile.
    fn measure<T>(&self, label: Label, mut work: impl FnMut() -> T) -> Measurement {
        timing::reset_peak_memory();
        let timing = Timing::measure_for(WARM_UP, self.budget, RUNS, || {
            let result = work();
            self.wait();
            result
        });
        self.label(label, timing)
    }

    /// Waits for the device: a GPU's work goes on after the call that asked for it.
    fn wait(&self) {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(index as i64);
        }
    }

    /// The measurement of these times; its memory is the peak since it was last reset.
    fn label(&self, label: Label, timing: Timing) -> Measurement {
        Measurement {
            config: label.config.to_owned(),
            part: label.part.to_owned(),
            mode: speed::NATIVE.to_owned(),
            precision: format!("{:?}", self.precision).to_lowercase(),
            layout: "channels_last".to_owned(),
            batch: label.batch,
            images: label.images,
            peak_memory_bytes: timing::peak_memory_bytes(),
            timing,
        }
    }
}

/// The batch sizes asked for, or these.
fn batches(args: &BenchArgs, default: &[usize]) -> Vec<usize> {
    if args.batch.is_empty() { default.to_vec() } else { args.batch.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_configurations_are_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for config in STANDARD.iter().chain(&LIGHT).chain(&DISTILLED).chain(&QUICKSTART) {
            Experiment::read(&root.join(config), &[], None).unwrap();
        }
    }
}
