//! What a configuration trains, in the words of the comparison's columns.

use toml::Value;

use super::setting::{Setting, text, variant};
use crate::format::number::NONE;

/// Words for each part of a configuration's model and objective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    /// Family, depth and head: what the dense original is the original of.
    pub(super) network: String,
    pub(super) convolution: String,
    /// `plain`, or the kind of exits.
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
            convolution: part("conv").map_or_else(none, convolution),
            framework: match exits {
                Some(("byot", _)) => "BYOT exits".to_owned(),
                Some((kind, _)) => format!("{kind} exits"),
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
        self.convolution == "dense" && self.framework == "plain"
    }

    pub(super) fn has_byot_exits(&self) -> bool {
        self.framework == "BYOT exits"
    }

    /// Where it stands in a table: by network; the dense before the compressed, and of each the
    /// plain before BYOT's framework before the others; by objective.
    pub(super) fn order(&self) -> (String, bool, String, u8, String) {
        let framework = match self.framework.as_str() {
            "plain" => 0,
            "BYOT exits" => 1,
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

/// `self-distillation`, with the label smoothing where there is some.
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
    let smoothing = inner.and_then(|inner| inner.get("label_smoothing")).map(text);
    match smoothing.filter(|smoothing| smoothing != "0") {
        Some(smoothing) => format!("{name}, smoothing {smoothing}"),
        None => name.to_owned(),
    }
}
