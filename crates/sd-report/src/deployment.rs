//! What was measured of a run as it is deployed: the contents of `deploy.json`.

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

/// A run's exports, measured in turns with the same network in libtorch and in PyTorch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployRecord {
    /// [`DEPLOY_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The command line.
    pub command: String,
    /// Bytes of the program that classifies, with its default runtime, stripped.
    pub program_bytes: u64,
    /// The exports: each exit alone, the staged networks, and their 8-bit forms.
    pub models: Vec<ExportedModel>,
    /// What each round measured.
    pub rounds: Vec<DeployRound>,
}

/// An exported file, or the folder of a staged network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedModel {
    /// Name of the exit, `staged` or `half` (staged, at half of the multiply-accumulates), and
    /// after it the 8-bit form if it has one: `exit1`, `deepest-qdq`.
    pub name: String,
    /// Bytes of the file, or of all files of the folder.
    pub bytes: u64,
    /// Fraction of the test images whose label is the first guess, by runtime, of those that
    /// compute its form as it is meant: all for the deepest exit, one for the others.
    pub top1: BTreeMap<String, f64>,
    /// Mean multiply-accumulates for a test image, as a fraction of the whole network's.
    pub macs_share: f64,
}

impl ExportedModel {
    /// The same in one number: of the first of [`RUNTIMES`] that it was scored in.
    pub fn top1(&self) -> Option<f64> {
        RUNTIMES.iter().find_map(|runtime| self.top1.get(*runtime)).copied()
    }
}

/// Everything once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployRound {
    /// Each export in each runtime that computes its form as it is meant.
    pub exported: Vec<ExportedTiming>,
    /// Seconds from a process's start to its end, with one image classified up to the deepest exit:
    /// of `sd-infer` by runtime, of the programs that have libtorch and PyTorch.
    pub first_label_seconds: BTreeMap<String, Vec<f64>>,
    /// Each exit in libtorch and, where it was asked for, PyTorch; one record for each number of
    /// threads.
    pub peers: Vec<BenchRecord>,
}

/// An export in a runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportedTiming {
    /// [`ExportedModel::name`].
    pub model: String,
    /// Name of the runtime: `native`, `rten`, `ort`.
    pub engine: String,
    /// Threads that it computed with.
    pub threads: usize,
    /// Images a batch.
    pub batch: usize,
    /// Seconds to open the model.
    pub load_seconds: f64,
    /// Mean multiply-accumulates for an image measured on, as a fraction of the whole network's.
    pub share: f64,
    /// Seconds of each batch, preparing the images left out.
    #[serde(flatten)]
    pub timing: Timing,
    /// The most memory that the process held, where the system says.
    pub peak_memory_bytes: Option<u64>,
}

/// What computed, and with how many threads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Engine {
    /// `native`, `rten`, `ort`, `libtorch`, `PyTorch eager`.
    pub name: String,
    /// Its threads.
    pub threads: usize,
}

/// One model in one engine at one size of batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pace {
    /// Mean seconds of a batch, of each round. In a staged network batches take different times,
    /// so that a median would not tell what an image costs.
    pub seconds: Vec<f64>,
    /// The most memory that the process held in any round.
    pub peak_memory_bytes: Option<u64>,
}

impl Pace {
    /// The median of the rounds.
    pub fn median(&self) -> Option<f64> {
        stats::median(&self.seconds)
    }
}

impl DeployRecord {
    /// All that was measured, by size of batch, model and engine.
    pub fn paces(&self) -> BTreeMap<(usize, String, Engine), Pace> {
        let mut paces = BTreeMap::<_, Pace>::new();
        let mut add = |key, timing: &Timing, peak: Option<u64>| {
            let pace = paces.entry(key).or_default();
            pace.seconds.extend(timing.mean());
            pace.peak_memory_bytes = pace.peak_memory_bytes.max(peak);
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
        paces
    }

    /// The median of all starts, in seconds, by what computed.
    pub fn first_label_seconds(&self) -> BTreeMap<&str, f64> {
        let mut starts = BTreeMap::<&str, Vec<f64>>::new();
        for (name, seconds) in self.rounds.iter().flat_map(|round| &round.first_label_seconds) {
            starts.entry(name).or_default().extend(seconds);
        }
        let median = |(name, seconds): (_, Vec<f64>)| Some((name, stats::median(&seconds)?));
        starts.into_iter().filter_map(median).collect()
    }

    /// The same of the first of [`RUNTIMES`] that was started.
    pub fn first_label(&self) -> Option<f64> {
        let starts = self.first_label_seconds();
        RUNTIMES.iter().find_map(|runtime| starts.get(runtime)).copied()
    }

    /// The export of this name.
    pub fn model(&self, name: &str) -> Option<&ExportedModel> {
        self.models.iter().find(|model| model.name == name)
    }
}
