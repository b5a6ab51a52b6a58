//! Options of PyTorch, and the search for the fastest ones.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Execution mode of PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mode {
    /// Eager execution
    Eager,
    /// `torch.compile`
    Compile,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Compile => "compile",
        }
    }
}

/// Options of the PyTorch scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PyTorchOptions {
    pub mode: Mode,
    pub precision: &'static str,
    pub layout: &'static str,
}

impl PyTorchOptions {
    /// All options of a mode.
    pub fn all_of(mode: Mode) -> impl Iterator<Item = Self> {
        let layouts = move |precision| {
            ["nchw", "channels_last"].map(move |layout| Self { mode, precision, layout })
        };
        ["f32", "bf16"].into_iter().flat_map(layouts)
    }

    pub fn arguments(self) -> [&'static str; 6] {
        ["--mode", self.mode.name(), "--precision", self.precision, "--layout", self.layout]
    }
}

/// Options within this factor of the fastest in a short probe are measured in full.
const MARGIN: f64 = 1.5;

/// Options that were the fastest, or nearly, at a whole step, or at the inference of some exit and
/// batch size.
pub fn candidates(probes: &[(PyTorchOptions, Value)]) -> Vec<PyTorchOptions> {
    let mut times = BTreeMap::<(String, u64), Vec<(f64, PyTorchOptions)>>::new();
    for (options, record) in probes {
        for measurement in record["measurements"].as_array().into_iter().flatten() {
            let part = measurement["part"].as_str().unwrap_or_default();
            let whole = record["subject"] != "step" || part == "step";
            let Some(seconds) = fastest(measurement).filter(|_| whole) else { continue };
            let batch = measurement["batch"].as_u64().unwrap_or_default();
            times.entry((part.to_owned(), batch)).or_default().push((seconds, *options));
        }
    }
    let mut fastest_options = BTreeSet::new();
    for times in times.into_values() {
        let least = times.iter().map(|(seconds, _)| *seconds).fold(f64::INFINITY, f64::min);
        let near = times.into_iter().filter(|(seconds, _)| *seconds <= MARGIN * least);
        fastest_options.extend(near.map(|(_, options)| options));
    }
    fastest_options.into_iter().collect()
}

/// The minimum, which with few repetitions varies less than the median.
fn fastest(measurement: &Value) -> Option<f64> {
    let seconds = measurement["timing"]["raw_seconds"].as_array()?;
    seconds.iter().filter_map(Value::as_f64).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn probe(subject: &str, parts: &[(&str, f64)]) -> Value {
        let measurement = |(part, seconds): &(&str, f64)| json!({"part": part, "batch": 8, "timing": {"raw_seconds": [9.0, seconds]}});
        let measurements: Vec<Value> = parts.iter().map(measurement).collect();
        json!({"subject": subject, "measurements": measurements})
    }

    #[test]
    fn each_nearly_fastest_option_is_a_candidate_once() {
        let options: Vec<PyTorchOptions> = PyTorchOptions::all_of(Mode::Eager).collect();
        assert_eq!(options.len(), 4);
        let probes = |subject| {
            vec![
                (options[0], probe(subject, &[("step", 2.0), ("forward", 0.5)])),
                (options[1], probe(subject, &[("step", 1.0), ("forward", 0.8)])),
                (options[2], probe(subject, &[("step", 1.4), ("forward", 3.0)])),
                (options[3], probe(subject, &[("step", 9.0), ("forward", 9.0)])),
            ]
        };
        let sorted = |mut options: Vec<PyTorchOptions>| {
            options.sort();
            options
        };
        assert_eq!(candidates(&probes("step")), sorted(vec![options[1], options[2]]));
        assert_eq!(candidates(&probes("infer")), sorted(options[..3].to_vec()));
        assert!(candidates(&[]).is_empty());
    }
}
