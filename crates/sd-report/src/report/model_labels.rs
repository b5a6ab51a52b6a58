//! Texts for the network and the objective of a run, as in the columns of comparisons.

use std::path::Path;

use crate::configuration::short_text;
use crate::format::number::{NONE, or_none};
use crate::record::{BackboneSummary, Choice, ExitsSummary, ObjectiveSummary, RunRecord, Teacher};

/// What tells two networks in a table apart; [`NONE`] for what the record does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelLabels {
    /// Family, depth, width, and kinds of head and stem.
    pub(super) network: String,
    /// The network that it was compressed from, as `network`.
    pub(super) original: String,
    /// The convolutions, and the output stride if set.
    convolution: String,
    /// `plain`, or the kind of exits and their stages if these are not the first ones.
    framework: String,
    /// The attention of exits and backbone.
    attention: String,
    /// The objective with its teacher, label smoothing and mixing.
    objective: String,
}

impl ModelLabels {
    pub(super) fn new(record: &RunRecord) -> Self {
        let model = record.model_summary.as_ref();
        let backbone = model.map(|model| &model.backbone);
        let exits = model.and_then(|model| model.exits.as_ref());
        let plain = model.map_or(NONE, |_| "plain");
        Self {
            network: or_none(backbone, network),
            original: or_none(backbone, original),
            convolution: or_none(backbone, convolutions),
            framework: exits.map_or_else(|| plain.to_owned(), framework),
            attention: attention(backbone, exits),
            objective: or_none(record.objective_summary.as_ref(), objective),
        }
    }

    /// The titles of the columns with their texts. The objective, on which costs do not depend,
    /// comes last.
    pub(super) fn columns(&self) -> [(&'static str, &str); 5] {
        [
            ("Network", &self.network),
            ("Convolution", &self.convolution),
            ("Framework", &self.framework),
            ("Attention", &self.attention),
            ("Objective", &self.objective),
        ]
    }
}

/// The key that sorts the rows of a table: by network; dense before compressed, plain before BYOT's
/// exits before others; by objective.
pub(super) fn sort_key(record: &RunRecord) -> (String, bool, String, u8, String) {
    let ModelLabels { network, convolution, objective, .. } = ModelLabels::new(record);
    let model = record.model_summary.as_ref();
    let is_dense = model.is_some_and(|model| model.backbone.is_dense);
    let exits = match model.and_then(|model| model.exits.as_ref()) {
        None => 0,
        Some(exits) if exits.is_byot => 1,
        Some(_) => 2,
    };
    (network, !is_dense, convolution, exits, objective)
}

/// `vgg11, linear head`. Two thirds of the original VGG11's parameters are in its head.
fn network(backbone: &BackboneSummary) -> String {
    let BackboneSummary { family, depth, width, stem, head, other, .. } = backbone;
    let mut text = family.clone();
    text.extend(depth.map(|depth| depth.to_string()));
    text.extend((*width != 1.0).then(|| format!(" × {width}")));
    text.extend(head.iter().map(|head| format!(", {head} head")));
    text.extend(stem.iter().map(|stem| format!(", {stem} stem")));
    text.extend(other.iter().map(|(key, value)| format!(", {key} {}", short_text(value))));
    text
}

/// A width below 1 is part of the compression.
fn original(backbone: &BackboneSummary) -> String {
    network(&BackboneSummary { width: backbone.width.max(1.0), ..backbone.clone() })
}

/// `dense`, `grouped 8, output stride 4`, `dense ×3 / depthwise-separable`.
fn convolutions(backbone: &BackboneSummary) -> String {
    if backbone.convolutions.is_empty() {
        return NONE.to_owned();
    }
    let stages = by_stage(backbone.convolutions.iter().map(convolution));
    let stride = backbone.output_stride.map(|stride| format!(", output stride {stride}"));
    stages + &stride.unwrap_or_default()
}

/// One text per stage, equal neighbours together: `a ×3 / b`.
fn by_stage(stages: impl IntoIterator<Item = String>) -> String {
    let mut groups: Vec<(String, u32)> = Vec::new();
    for stage in stages {
        match groups.last_mut() {
            Some((last, count)) if *last == stage => *count += 1,
            _ => groups.push((stage, 1)),
        }
    }
    let text = |(stage, count): (String, u32)| match count {
        1 => stage,
        count => format!("{stage} ×{count}"),
    };
    groups.into_iter().map(text).collect::<Vec<_>>().join(" / ")
}

fn convolution(choice: &Choice) -> String {
    let Choice { name, mut values } = choice.clone();
    let groups = values.remove("groups").map(|groups| format!(" {}", short_text(&groups)));
    let shuffled = values.remove("shuffle").and_then(|shuffle| shuffle.as_bool()) == Some(true);
    let rest = Choice { name: name.replace('_', "-") + &groups.unwrap_or_default(), values };
    format!("{rest}{}", if shuffled { ", shuffled" } else { "" })
}

/// `BYOT exits`, `light exits, side 4`, `chain exits after 1 and 3`.
fn framework(exits: &ExitsSummary) -> String {
    let Choice { name, values } = &exits.kind;
    let mut text = format!("{} exits", if exits.is_byot { "BYOT" } else { name });
    // On the first stages, the number of an exit is that of its stage.
    if !(1..).zip(&exits.after).all(|(number, stage)| number == *stage) {
        let stages: Vec<_> = exits.after.iter().map(u64::to_string).collect();
        text += &format!(" after {}", stages.join(" and "));
    }
    text.extend(values.iter().map(|(key, value)| format!(", {key} {}", short_text(value))));
    text
}

/// `eca`, `eca, simam in the backbone`.
fn attention(backbone: Option<&BackboneSummary>, exits: Option<&ExitsSummary>) -> String {
    let on_exits = exits.and_then(|exits| exits.attention.as_ref()).map(Choice::to_string);
    let in_backbone = backbone.map_or(&[][..], |backbone| &backbone.attentions);
    let stages = by_stage(in_backbone.iter().map(Choice::to_string));
    let in_backbone = (!stages.is_empty()).then(|| format!("{stages} in the backbone"));
    let both: Vec<_> = on_exits.into_iter().chain(in_backbone).collect();
    if both.is_empty() { NONE.to_owned() } else { both.join(", ") }
}

/// `self-distillation, smoothing 0.1, mixup 0.2`: the teacher if it is not the deepest exit, and
/// the label smoothing if there is any. Of a trained teacher, the last part of its path.
fn objective(objective: &ObjectiveSummary) -> String {
    let trained = objective.trained_teacher.as_deref().map(Path::new).and_then(Path::file_name);
    let teacher = match objective.teacher {
        None | Some(Teacher::Deepest) => None,
        Some(Teacher::Mean) => Some("mean"),
        Some(Teacher::AllPairs) => Some("all pairs"),
    };
    let smoothing = objective.label_smoothing.filter(|smoothing| *smoothing != 0.0);
    let mut text = objective.name.clone();
    text.extend(teacher.map(|teacher| format!(", teacher {teacher}")));
    text.extend(trained.map(|teacher| format!(", teacher {}", teacher.display())));
    text.extend(smoothing.map(|smoothing| format!(", smoothing {smoothing}")));
    text.extend(objective.mixing.iter().map(|mix| format!(", {} {}", mix.name, mix.alpha)));
    text
}
