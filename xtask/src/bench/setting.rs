//! How PyTorch can be run, and which way was fastest.

use serde_json::Value;
use std::collections::BTreeMap;

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

/// The settings that were fastest at something: a step counts as a whole, an inference by each
/// exit and batch.
pub fn winners(probes: &[(Setting, Value)]) -> Vec<Setting> {
    let mut best = BTreeMap::<(String, u64), (f64, Setting)>::new();
    for (setting, record) in probes {
        for measurement in record["measurements"].as_array().into_iter().flatten() {
            let part = measurement["part"].as_str().unwrap_or_default();
            let whole = record["subject"] != "step" || part == "step";
            let Some(seconds) = fastest(measurement).filter(|_| whole) else { continue };
            let batch = measurement["batch"].as_u64().unwrap_or_default();
            let entry = best.entry((part.to_owned(), batch)).or_insert((seconds, *setting));
            if seconds < entry.0 {
                *entry = (seconds, *setting);
            }
        }
    }
    let mut settings: Vec<Setting> = best.into_values().map(|(_, setting)| setting).collect();
    settings.sort();
    settings.dedup();
    settings
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
    fn what_won_something_is_a_winner_once() {
        let settings: Vec<Setting> = Setting::all_of(Mode::Eager).collect();
        assert_eq!(settings.len(), 4);
        let probes = |subject| {
            vec![
                (settings[0], probe(subject, &[("step", 2.0), ("forward", 0.5)])),
                (settings[1], probe(subject, &[("step", 1.0), ("forward", 0.7)])),
                (settings[2], probe(subject, &[("step", 3.0), ("forward", 3.0)])),
            ]
        };
        assert_eq!(winners(&probes("step")), [settings[1]]);
        let mut both = vec![settings[0], settings[1]];
        both.sort();
        assert_eq!(winners(&probes("infer")), both);
        assert!(winners(&[]).is_empty());
    }
}
