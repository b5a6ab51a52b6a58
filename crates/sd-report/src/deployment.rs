//! Measurements of a run's exported networks: `deploy.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measurement::BenchRecord;
use crate::stats;
use crate::timing::Timing;

/// Version of the records in this module; `deploy.json` carries it as `schema_version`.
pub const DEPLOY_VERSION: u32 = 1;

/// Runtimes of exported files, the default one first. Earlier records call the native engine `own`
/// and may hold tract's measurements.
pub const RUNTIMES: [&str; 5] = ["native", "own", "rten", "tract", "ort"];

/// The exports of a run, measured in turns with the same network in libtorch and PyTorch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployRecord {
    /// [`DEPLOY_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The command line.
    pub command: String,
    /// Size of the stripped inference program with its default runtime, in bytes.
    pub program_bytes: u64,
    /// The exports: each exit alone, the staged networks, and the 8-bit forms of both.
    pub models: Vec<ExportedModel>,
    /// The measurements, round by round.
    pub rounds: Vec<DeployRound>,
}

/// An exported file, or the folder of a staged network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedModel {
    /// Name of the exit, `staged` or `half` (staged, at half of the multiply-accumulates), and
    /// after it the 8-bit form if it has one: `exit1`, `deepest-qdq`.
    pub name: String,
    /// Size of the file, or of all files of the folder, in bytes.
    pub bytes: u64,
    /// Test top-1 by runtime: for the deepest exit in all runtimes that support its form, for other
    /// exports in one.
    pub top1: BTreeMap<String, f64>,
    /// Mean MACs per test image, as a fraction of those of the whole network.
    pub macs_share: f64,
}

impl ExportedModel {
    /// Returns test top-1 in the first of [`RUNTIMES`] that it was scored in.
    pub fn top1(&self) -> Option<f64> {
        RUNTIMES.iter().find_map(|runtime| self.top1.get(*runtime)).copied()
    }
}

/// One round: every export and every peer once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployRound {
    /// Each export in each runtime that supports its form.
    pub exported: Vec<ExportedTiming>,
    /// Seconds from process start to end for classifying one image at the deepest exit: `sd-infer`
    /// by runtime, and the programs with libtorch and PyTorch.
    pub first_label_seconds: BTreeMap<String, Vec<f64>>,
    /// Each exit in libtorch and, if requested, PyTorch; one record per number of threads.
    pub peers: Vec<BenchRecord>,
}

/// An export in a runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedTiming {
    /// [`ExportedModel::name`].
    pub model: String,
    /// Name of the runtime: `native`, `rten`, `ort`.
    pub engine: String,
    /// Number of threads.
    pub threads: usize,
    /// Images per batch.
    pub batch: usize,
    /// Seconds to open the model.
    pub load_seconds: f64,
    /// Mean MACs per measured image, as a fraction of those of the whole network.
    pub share: f64,
    /// Time of each batch, without preparing the images.
    #[serde(flatten)]
    pub timing: Timing,
    /// Peak memory of the process in bytes, if known.
    pub peak_memory_bytes: Option<u64>,
}

/// An engine with its number of threads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Engine {
    /// `native`, `rten`, `ort`, `libtorch`, `PyTorch eager`.
    pub name: String,
    /// Number of threads.
    pub threads: usize,
}

/// Times of one model in one engine at one batch size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchTimes {
    /// Mean seconds per batch in each round. Batches of a staged network take different times, so
    /// that their median is not the cost of an image.
    pub seconds: Vec<f64>,
    /// Peak memory over all rounds in bytes.
    pub peak_memory_bytes: Option<u64>,
}

impl BatchTimes {
    /// Returns the median over the rounds, in seconds.
    pub fn median(&self) -> Option<f64> {
        stats::median(&self.seconds)
    }
}

impl DeployRecord {
    /// Returns the times by batch size, model and engine.
    pub fn batch_times(&self) -> BTreeMap<(usize, String, Engine), BatchTimes> {
        let mut batch_times = BTreeMap::<_, BatchTimes>::new();
        let mut add = |key, timing: &Timing, peak: Option<u64>| {
            let times = batch_times.entry(key).or_default();
            times.seconds.extend(timing.mean());
            times.peak_memory_bytes = times.peak_memory_bytes.max(peak);
        };
        for round in &self.rounds {
            for exported in &round.exported {
                let engine = Engine { name: exported.engine.clone(), threads: exported.threads };
                let key = (exported.batch, exported.model.clone(), engine);
                add(key, &exported.timing, exported.peak_memory_bytes);
            }
            for record in &round.peers {
                for measured in &record.measurements {
                    let name = match measured.mode.as_str() {
                        crate::speed::NATIVE => "libtorch".to_owned(),
                        mode => format!("PyTorch {mode}"),
                    };
                    let engine = Engine { name, threads: record.threads };
                    let key = (measured.batch, measured.part.clone(), engine);
                    add(key, &measured.timing, measured.peak_memory_bytes);
                }
            }
        }
        batch_times
    }

    /// Returns the median time to the first label in seconds, by program.
    pub fn first_label_seconds(&self) -> BTreeMap<&str, f64> {
        let mut starts = BTreeMap::<&str, Vec<f64>>::new();
        for (name, seconds) in self.rounds.iter().flat_map(|round| &round.first_label_seconds) {
            starts.entry(name).or_default().extend(seconds);
        }
        let median = |(name, seconds): (_, Vec<f64>)| Some((name, stats::median(&seconds)?));
        starts.into_iter().filter_map(median).collect()
    }

    /// Returns the median time to the first label in the first of [`RUNTIMES`] that was measured.
    pub fn first_label(&self) -> Option<f64> {
        let starts = self.first_label_seconds();
        RUNTIMES.iter().find_map(|runtime| starts.get(runtime)).copied()
    }

    /// Returns the export with this name.
    pub fn model(&self, name: &str) -> Option<&ExportedModel> {
        self.models.iter().find(|model| model.name == name)
    }
}
