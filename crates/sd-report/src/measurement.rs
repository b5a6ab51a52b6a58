//! Benchmark records: the output of `bench --json`, for this project and for PyTorch.
//!
//! Records hold the time of every repetition. Medians, spreads and images per second are computed
//! when they are displayed, see [`speed`](crate::speed).

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::environment::{Host, rfc3339};
use crate::record::SCHEMA_VERSION;
use crate::timing::Timing;

/// The subject of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The data loader, from images in memory to batches.
    Data,
    /// A training step on a loaded batch.
    Step,
    /// Evaluation and the latency of each exit.
    Infer,
    /// A training step with each kind of exit.
    Exits,
    /// Pairs to compare: an epoch with its steps alone, self-distilled with plain training.
    Overhead,
    /// Time from process start to the end of the first step.
    Start,
}

impl Subject {
    /// Returns its name, as on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Step => "step",
            Self::Infer => "infer",
            Self::Exits => "exits",
            Self::Overhead => "overhead",
            Self::Start => "start",
        }
    }
}

/// One run of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRecord {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The subject.
    pub subject: Subject,
    /// The program with its version, such as `selfdistill 0.1.0` or `pytorch 2.11.0`.
    pub program: String,
    /// The command line.
    pub command: String,
    /// Start time, RFC 3339 in UTC.
    pub started: String,
    /// The machine.
    pub host: Host,
    /// Number of threads for computing or loading.
    pub threads: usize,
    /// Compute device.
    pub device: String,
    /// The measurements.
    pub measurements: Vec<Measurement>,
}

impl BenchRecord {
    /// Creates a record without measurements, for this machine and time.
    pub fn begin(subject: Subject, program: String, threads: usize, device: String) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            schema_version: SCHEMA_VERSION,
            subject,
            program,
            command: format!("cargo xtask bench {}", arguments.join(" ")),
            started: rfc3339(SystemTime::now()),
            host: Host::capture(),
            threads,
            device,
            measurements: Vec::new(),
        }
    }
}

/// Repeated measurements of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Name of the experiment or pipeline.
    pub config: String,
    /// Measured part: `step`, `forward`, `exit1`, …
    pub part: String,
    /// `native`, or for PyTorch `eager` or `compile`.
    pub mode: String,
    /// Number format of the arithmetic, `f32` or `bf16`.
    pub precision: String,
    /// Layout of the images in memory, `nchw` or `channels_last`.
    pub layout: String,
    /// Images per batch.
    pub batch: usize,
    /// Images per repetition.
    pub images: usize,
    /// Peak memory of the process during the repetitions, in bytes, if known.
    pub peak_memory_bytes: Option<u64>,
    /// Time of each repetition.
    pub timing: Timing,
}

impl Measurement {
    /// Returns images per second at the median repetition.
    pub fn images_per_second(&self) -> Option<f64> {
        self.timing.median().map(|seconds| self.images as f64 / seconds)
    }

    /// Adds more repetitions of the same workload.
    pub fn add(&mut self, more: Self) {
        self.peak_memory_bytes = self.peak_memory_bytes.max(more.peak_memory_bytes);
        self.timing.raw_seconds.extend(more.timing.raw_seconds);
    }

    /// Returns mode, precision and layout, such as `eager bf16 channels_last`.
    pub fn setting(&self) -> String {
        format!("{} {} {}", self.mode, self.precision, self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement() -> Measurement {
        Measurement {
            config: "a".to_owned(),
            part: "step".to_owned(),
            mode: "native".to_owned(),
            precision: "f32".to_owned(),
            layout: "channels_last".to_owned(),
            batch: 10,
            images: 20,
            peak_memory_bytes: None,
            timing: Timing { raw_seconds: vec![1.0, 2.0, 9.0] },
        }
    }

    #[test]
    fn images_per_second_use_the_median() {
        let measurement = measurement();
        assert_eq!(measurement.images_per_second(), Some(10.0));
        assert_eq!(measurement.setting(), "native f32 channels_last");
    }

    #[test]
    fn repetitions_of_later_rounds_are_added() {
        let mut measurement = measurement();
        let timing = Timing { raw_seconds: vec![4.0, 5.0] };
        let later = Measurement { peak_memory_bytes: Some(7), timing, ..measurement.clone() };
        measurement.add(later);
        assert_eq!(measurement.timing.raw_seconds, [1.0, 2.0, 9.0, 4.0, 5.0]);
        assert_eq!(measurement.peak_memory_bytes, Some(7));
    }

    #[test]
    fn a_record_survives_a_round_trip() {
        let record = BenchRecord::begin(Subject::Data, "p 1".to_owned(), 2, "cpu".to_owned());
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("\"subject\":\"data\""), "{text}");
        assert_eq!(serde_json::from_str::<BenchRecord>(&text).unwrap(), record);
    }
}
