//! How PyTorch can be run, and which ways may be its fastest.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What PyTorch does with a network before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mode {
    /// Nothing
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

/// A way to run PyTorch, as arguments of the scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    pub mode: Mode,
    pub precision: &'static str,
    pub layout: &'static str,
}

impl Setting {
    /// Every way of this mode.
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

/// What a first look on small batches may be wrong by: a setting within this factor of the fastest
/// is measured properly.
const MARGIN: f64 = 1.5;

/// The settings that were fastest or nearly so at something: a step counts as a whole, an
/// inference by each exit and batch.
pub fn contenders(probes: &[(Setting, Value)]) -> Vec<Setting> {
    let mut times = BTreeMap::<(String, u64), Vec<(f64, Setting)>>::new();
    for (setting, record) in probes {
        for measurement in record["measurements"].as_array().into_iter().flatten() {
            let part = measurement["part"].as_str().unwrap_or_default();
            let whole = record["subject"] != "step" || part == "step";
            let Some(seconds) = fastest(measurement).filter(|_| whole) else { continue };
            let batch = measurement["batch"].as_u64().unwrap_or_default();
            times.entry((part.to_owned(), batch)).or_default().push((seconds, *setting));
        }
    }
    let mut settings = BTreeSet::new();
    for times in times.into_values() {
        let least = times.iter().map(|(seconds, _)| *seconds).fold(f64::INFINITY, f64::min);
        let near = times.into_iter().filter(|(seconds, _)| *seconds <= MARGIN * least);
        settings.extend(near.map(|(_, setting)| setting));
    }
    settings.into_iter().collect()
}

/// Of so few repetitions, the fastest says more than their median.
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
    fn what_was_nearly_the_fastest_at_something_is_a_contender_once() {
        let settings: Vec<Setting> = Setting::all_of(Mode::Eager).collect();
        assert_eq!(settings.len(), 4);
        let probes = |subject| {
            vec![
                (settings[0], probe(subject, &[("step", 2.0), ("forward", 0.5)])),
                (settings[1], probe(subject, &[("step", 1.0), ("forward", 0.8)])),
                (settings[2], probe(subject, &[("step", 1.4), ("forward", 3.0)])),
                (settings[3], probe(subject, &[("step", 9.0), ("forward", 9.0)])),
            ]
        };
        let sorted = |mut settings: Vec<Setting>| {
            settings.sort();
            settings
        };
        assert_eq!(contenders(&probes("step")), sorted(vec![settings[1], settings[2]]));
        assert_eq!(contenders(&probes("infer")), sorted(settings[..3].to_vec()));
        assert!(contenders(&[]).is_empty());
    }
}
