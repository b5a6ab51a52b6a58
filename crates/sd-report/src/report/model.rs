//! What a configuration trains, in the words of the comparison's columns.

use toml::{Table, Value};

use super::setting::{Setting, text, variant};
use crate::format::number::NONE;

/// Words for each part of a configuration's model and objective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    /// Family, depth and head: what the dense original is the original of.
    pub(super) network: String,
    /// Of the whole network or of each stage, and the output stride where one is set.
    pub(super) convolution: String,
    /// `plain`, or the kind of exits, with their stages where these are not the first ones.
    pub(super) framework: String,
    /// Of the exits and of the backbone.
    pub(super) attention: String,
    pub(super) objective: String,
}

impl Model {
    pub(super) fn of(setting: &Setting) -> Self {
        let none = || NONE.to_owned();
        let backbone = setting.at(&["model", "backbone"]).and_then(variant);
        let part = |key: &str| backbone.and_then(|(_, inner)| inner?.get(key));
        let exits = setting.at(&["model", "exits", "kind"]).and_then(variant);
        let on_exits = exits.and_then(|(_, inner)| inner?.get("attention"));
        let on_exits = on_exits.map(text);
        let in_backbone = part("attention").map(text).filter(|name| name != "none");
        let attention = [on_exits, in_backbone.map(|name| format!("{name} in the backbone"))];
        let attention: Vec<String> = attention.into_iter().flatten().collect();
        Self {
            network: backbone.map_or_else(none, |(family, _)| network(family, part)),
            convolution: part("conv").map_or_else(none, |conv| {
                let stride = part("output_stride").map(text);
                let stride = stride.map_or_else(String::new, |of| format!(", output stride {of}"));
                convolution(conv) + &stride
            }),
            framework: match exits {
                Some((kind, inner)) => {
                    framework(kind, inner, setting.at(&["model", "exits", "after"]))
                }
                None if backbone.is_some() => "plain".to_owned(),
                None => none(),
            },
            attention: if attention.is_empty() { none() } else { attention.join(", ") },
            objective: setting.at(&["objective"]).map_or_else(none, |value| {
                let mix = setting.at(&["mix"]).and_then(mix);
                [Some(objective(value)), mix].into_iter().flatten().collect::<Vec<_>>().join(", ")
            }),
        }
    }

    pub(super) fn is_plain_dense(&self) -> bool {
        let parts = [&self.convolution, &self.framework, &self.attention];
        parts.map(String::as_str) == ["dense", "plain", NONE]
    }

    /// Where it stands in a table: by network; the dense before the compressed, and of each the
    /// plain before BYOT's framework before the others; by objective.
    pub(super) fn order(&self) -> (String, bool, String, u8, String) {
        let framework = match self.framework.as_str() {
            "plain" => 0,
            exits if exits.starts_with("BYOT") => 1,
            _ => 2,
        };
        let [network, convolution, objective] =
            [&self.network, &self.convolution, &self.objective].map(String::clone);
        (network, convolution != "dense", convolution, framework, objective)
    }

    /// Every part with the title of its column; the objective, on which the costs do not depend,
    /// last.
    pub(super) fn words(&self) -> [(&'static str, &str); 5] {
        [
            ("Network", &self.network),
            ("Convolution", &self.convolution),
            ("Framework", &self.framework),
            ("Attention", &self.attention),
            ("Objective", &self.objective),
        ]
    }
}

/// `vgg11, linear head`. Two thirds of the original VGG11's parameters are in its head.
fn network<'a>(family: &str, part: impl Fn(&str) -> Option<&'a Value>) -> String {
    let mut words = format!("{family}{}", part("depth").map(text).unwrap_or_default());
    if let Some(width) = part("width").map(text).filter(|width| width != "1") {
        words += &format!(" × {width}");
    }
    for place in ["head", "stem"] {
        if let Some(kind) = part(place).map(text) {
            words += &format!(", {kind} {place}");
        }
    }
    words
}

/// `BYOT exits`, `light exits, side 4`, `chain exits after 1 and 3`.
fn framework(kind: &str, inner: Option<&Table>, after: Option<&Value>) -> String {
    let kind = if kind == "byot" { "BYOT" } else { kind };
    let mut words = format!("{kind} exits");
    // On the first stages, one after the other, an exit's number is its stage's.
    let told = after.and_then(Value::as_array).filter(|stages| {
        !(1..).zip(*stages).all(|(number, stage)| stage.as_integer() == Some(number))
    });
    if let Some(stages) = told {
        let stages: Vec<_> = stages.iter().map(text).collect();
        words += &format!(" after {}", stages.join(" and "));
    }
    if let Some(side) = inner.and_then(|inner| inner.get("side")) {
        words += &format!(", side {}", text(side));
    }
    words
}

/// `dense`, `grouped 8`, `depthwise-separable`; of stages that differ, each.
fn convolution(value: &Value) -> String {
    if let Value::Array(stages) = value {
        return stages.iter().map(convolution).collect::<Vec<_>>().join(" / ");
    }
    match variant(value) {
        Some(("grouped", Some(inner))) => {
            let groups = inner.get("groups").map(text).unwrap_or_default();
            let shuffled = inner.get("shuffle").and_then(Value::as_bool) == Some(true);
            format!("grouped {groups}{}", if shuffled { ", shuffled" } else { "" })
        }
        Some(("depthwise_separable", None)) => "depthwise-separable".to_owned(),
        _ => text(value),
    }
}

/// `mixup 0.2`: how images are mixed, which is as much a part of what is minimised.
fn mix(value: &Value) -> Option<String> {
    let (name, inner) = variant(value)?;
    let name = if name == "cut_mix" { "CutMix" } else { name };
    Some(format!("{name} {}", inner?.get("alpha").map(text)?))
}

/// `self-distillation`, with the teacher where it is not the deepest exit, and the label smoothing
/// where there is some.
fn objective(value: &Value) -> String {
    let Some((name, inner)) = variant(value) else { return text(value) };
    let name = match name {
        "self_distillation" => "self-distillation",
        "deep_supervision" => "deep supervision",
        "deepest_only" => "deepest only",
        "byot" => "BYOT",
        "scan" => "SCAN",
        "tpami" => "TPAMI",
        "tf_kd" => "Tf-KD",
        "ps_kd" => "PS-KD",
        "cs_kd" => "CS-KD",
        other => other,
    };
    let value = |key: &str| inner.and_then(|inner| inner.get(key)).map(text);
    let teacher = value("teacher").filter(|teacher| teacher != "deepest");
    let teacher = teacher.map(|teacher| teacher.replace('_', " "));
    let smoothing = value("label_smoothing").filter(|smoothing| smoothing != "0");
    let words = [("teacher", teacher), ("smoothing", smoothing)];
    let words = words.into_iter().filter_map(|(key, value)| Some(format!(", {key} {}", value?)));
    words.fold(name.to_owned(), |all, word| all + &word)
}
