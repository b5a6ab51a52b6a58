//! The objective of a run as data.

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::model::number;

/// The training objective of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveSummary {
    /// Name, such as `self-distillation`.
    pub name: String,
    /// Whether shallow exits learn from deeper exits of the same network.
    pub distils: bool,
    /// Which exits teach, for objectives with a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Teacher>,
    /// The trained network that teaches, the folder of a run or a weights file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_teacher: Option<String>,
    /// Share of the targets that is spread over all classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// Weight of the teacher in the loss, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Temperature of teacher and student.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Mixing of training images, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<MixingSummary>,
}

/// The teacher of the exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teacher {
    /// The deepest exit.
    Deepest,
    /// The mean of all exits.
    Mean,
    /// Every other exit.
    AllPairs,
}

/// How training images are mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixingSummary {
    /// Name, such as `mixup`.
    pub name: String,
    /// Parameter of the Beta distribution of the mixing ratio.
    pub alpha: f64,
}

impl ObjectiveSummary {
    /// Reads the values of the `objective` section of a configuration. The mixing is left out.
    pub fn from_config(name: &str, distils: bool, objective: &Table) -> Self {
        let values = objective.values().next();
        let value = |key: &str| values?.get(key);
        let real = |key: &str| value(key).and_then(number);
        // `{ run = "…" }`, `{ weights = "…" }`
        let trained = value("teacher").and_then(Value::as_table).and_then(|of| of.values().next());
        Self {
            name: name.to_owned(),
            distils,
            teacher: value("teacher").and_then(|teacher| teacher.clone().try_into().ok()),
            trained_teacher: trained.and_then(Value::as_str).map(str::to_owned),
            label_smoothing: real("label_smoothing"),
            alpha: real("alpha"),
            temperature: real("temperature"),
            mixing: None,
        }
    }
}
