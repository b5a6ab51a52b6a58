//! The network of a run as data.

use std::fmt;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::configuration::entries;

/// The network of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The network without exits.
    pub backbone: BackboneSummary,
    /// The shallow exits; `None` for a plain network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<ExitsSummary>,
}

/// A network without exits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackboneSummary {
    /// Family, such as `vgg`.
    pub family: String,
    /// Number of layers, for families that come in several depths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// Width multiplier.
    pub width: f64,
    /// Kind of stem, for families with several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<String>,
    /// Kind of head after the last stage, for families with several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Whether every convolution is dense and every stage halves the map.
    #[serde(default)]
    pub is_dense: bool,
    /// The convolution of all stages, or one per stage; empty for families with only one kind.
    #[serde(default)]
    pub convolutions: Vec<Choice>,
    /// The attention in the blocks of all stages, or one per stage; empty without attention.
    #[serde(default)]
    pub attentions: Vec<Choice>,
    /// Input pixels between two positions of the last map, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_stride: Option<u64>,
    /// Further values of the family.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub other: Table,
}

/// The shallow exits of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitsSummary {
    /// Kind of the exits, with its values apart from the attention.
    pub kind: Choice,
    /// Whether these are the exits of Be Your Own Teacher, the baseline of comparisons.
    #[serde(default)]
    pub is_byot: bool,
    /// The attention of the exits, for kinds with a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<Choice>,
    /// The stages with an exit, from 1.
    pub after: Vec<u64>,
}

/// A variant and its values, such as the convolution `grouped` with `groups = 8`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Name of the variant, as in configurations.
    pub name: String,
    /// Its values.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub values: Table,
}

impl ModelSummary {
    /// Reads the `model` section of a configuration; `None` without a backbone. What the names of
    /// variants mean is left to the caller: `is_dense`, `is_byot`, and attentions without effect.
    ///
    /// ```
    /// use sd_report::ModelSummary;
    ///
    /// let model = "
    ///     backbone.vgg = { depth = 11, conv = { grouped = { groups = 8 } } }
    ///     exits = { after = [1, 2], kind = { light = { attention = { eca = {} } } } }
    /// ";
    /// let model = ModelSummary::from_config(&model.parse()?).expect("a backbone");
    /// assert_eq!(model.backbone.convolutions[0].values["groups"].as_integer(), Some(8));
    /// assert_eq!(model.exits.expect("exits").kind.name, "light");
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    pub fn from_config(model: &Table) -> Option<Self> {
        let backbone = BackboneSummary::from_choice(Choice::from_value(model.get("backbone")?)?);
        let exits = model.get("exits").and_then(ExitsSummary::from_value);
        Some(Self { backbone, exits })
    }

    /// Whether it has dense convolutions and neither exits nor attention: an original that
    /// compressed networks are compared with.
    pub fn is_plain_dense(&self) -> bool {
        self.exits.is_none() && self.backbone.is_dense && self.backbone.attentions.is_empty()
    }
}

impl BackboneSummary {
    fn from_choice(Choice { name: family, values: mut other }: Choice) -> Self {
        let mut take = |key: &str| other.remove(key);
        let integer = |value: Option<Value>| u64::try_from(value?.as_integer()?).ok();
        let text = |value: Option<Value>| value?.as_str().map(str::to_owned);
        Self {
            family,
            depth: integer(take("depth")),
            width: take("width").as_ref().and_then(number).unwrap_or(1.0),
            stem: text(take("stem")),
            head: text(take("head")),
            is_dense: false,
            convolutions: choices(take("conv")),
            attentions: choices(take("attention")),
            output_stride: integer(take("output_stride")),
            other,
        }
    }
}

impl ExitsSummary {
    fn from_value(value: &Value) -> Option<Self> {
        let mut kind = Choice::from_value(value.get("kind")?)?;
        let attention = kind.values.remove("attention");
        let stages = value.get("after").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            kind,
            is_byot: false,
            attention: attention.as_ref().and_then(Choice::from_value),
            after: stages.filter_map(|stage| stage.as_integer()?.try_into().ok()).collect(),
        })
    }
}

impl Choice {
    /// Reads a name without values, or a table with the name as its only key.
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) => Some(Self { name: name.clone(), values: Table::new() }),
            Value::Table(table) if table.len() == 1 => {
                let (name, values) = table.iter().next()?;
                Some(Self { name: name.clone(), values: values.as_table()?.clone() })
            }
            _ => None,
        }
    }
}

/// `eca`, `squeeze_excite (reduction = 16)`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.values.is_empty() { Ok(()) } else { write!(f, " ({})", entries(&self.values)) }
    }
}

/// One choice for all stages, or a list with one per stage.
fn choices(value: Option<Value>) -> Vec<Choice> {
    match value {
        Some(Value::Array(stages)) => stages.iter().filter_map(Choice::from_value).collect(),
        value => value.as_ref().and_then(Choice::from_value).into_iter().collect(),
    }
}

/// A number, whole or not.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| Some(value.as_integer()? as f64))
}
