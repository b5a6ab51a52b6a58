//! Accuracy against cost: every exit of every network, beside published networks.

use super::experiment::Experiment;
use super::published::{DATASET, PUBLISHED, Published, letter};
use super::recipe::{Recipe, figure_suffix};
use super::run_names::shortened;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::figure::{Line, Mark, Plot, Range, Ticks};
use crate::format::number::{count, or_none, percent};
use crate::record::{Cost, ExitScore};
use crate::run_folder::Run;
use crate::stats::mean;

pub(super) const SECTION: Section =
    Section { id: "frontier", title: "Accuracy against cost", build };

const PUBLISHED_HERE: &str = "Letters are published networks, trained for 200 epochs or more; they are no \
    fair reference for shorter recipes. The costs of ResNet-18 were counted by this project.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    let groups = Recipe::finished(runs);
    let mut any_published = false;
    for (index, recipe) in groups.iter().enumerate() {
        let number = figure_suffix(index);
        let published = of(recipe);
        any_published |= !published.is_empty();
        let plots =
            [PARAMETERS, MACS].map(|cost| with_published(recipe, published, &cost, &number));
        if let Some(figures) = Element::drawn(plots)? {
            elements.push(Element::Heading(recipe.title.clone()));
            elements.push(figures);
        }
    }
    if any_published {
        elements.push(Element::Paragraph(PUBLISHED_HERE.to_owned()));
        elements.push(Element::Table(sources()));
    }
    Ok(elements)
}

/// A cost to plot against.
struct Axis {
    name: &'static str,
    label: &'static str,
    of: fn(Cost) -> u64,
    of_published: fn(&Published) -> Option<u64>,
}

const PARAMETERS: Axis = Axis {
    name: "accuracy-against-parameters",
    label: "parameters",
    of: |cost| cost.params,
    of_published: |network| Some(network.params),
};

const MACS: Axis = Axis {
    name: "accuracy-against-macs",
    label: "MACs per image",
    of: |cost| cost.macs,
    of_published: |network| network.macs,
};

/// The published networks on the recipe's data set.
fn of(recipe: &Recipe) -> &'static [Published] {
    let known = recipe.experiments.iter().any(|experiment| experiment.record().dataset == DATASET);
    if known { &PUBLISHED } else { &[] }
}

fn with_published(recipe: &Recipe, published: &[Published], axis: &Axis, number: &str) -> Plot {
    let names = recipe.experiments.iter().map(|experiment| experiment.name.clone()).collect();
    let lines = recipe.experiments.iter().zip(shortened(names)).map(|(experiment, name)| {
        let points = points(experiment, axis);
        let dots = points.iter().copied().filter(|point| point.1.is_finite()).collect();
        Line { name, points, dots, strong: false }
    });
    let marks = published.iter().enumerate().filter_map(|(index, network)| {
        let cost = (axis.of_published)(network)? as f64;
        Some(Mark { name: letter(index).to_string(), point: (cost, network.top1), below: false })
    });
    Plot {
        name: format!("{}{number}", axis.name),
        lines: lines.collect(),
        marks: marks.collect(),
        ..plot(axis)
    }
}

/// The plot without lines.
fn plot(axis: &Axis) -> Plot {
    Plot {
        name: axis.name.to_owned(),
        caption: format!("Test top-1 against {} of each exit", axis.label),
        x_label: axis.label,
        x: Ticks::Count,
        y: Ticks::Percent,
        x_range: Range::Logarithmic,
        y_from_zero: false,
        lines: Vec::new(),
        marks: Vec::new(),
    }
}

/// The `shown` experiments, the first highlighted with its exit to deploy, against
/// parameters. Every other experiment of `all` is a number of unnamed points.
pub(super) fn highlight(all: &[Experiment], shown: &[&Experiment], deployed: &ExitScore) -> Plot {
    let names = shortened(shown.iter().map(|experiment| experiment.name.clone()).collect());
    let lines = shown.iter().zip(names).enumerate().map(|(index, (experiment, name))| {
        let points = points(experiment, &PARAMETERS);
        let dots = points.iter().copied().filter(|point| point.1.is_finite()).collect();
        Line { name, points, dots, strong: index == 0 }
    });
    let lines: Vec<_> = lines.collect();
    let is_shown = |other: &Experiment| shown.iter().any(|shown| std::ptr::eq(*shown, other));
    let others = all.iter().filter(|experiment| !is_shown(experiment));
    let rings = others.flat_map(|experiment| points(experiment, &PARAMETERS));
    let rings = rings.filter(|point| point.1.is_finite());
    let mut marks: Vec<_> =
        rings.map(|point| Mark { name: String::new(), point, below: false }).collect();
    let at = lines[0].points.iter().find(|point| point.0 == deployed.params as f64);
    let named = |&point: &(f64, f64)| Mark { name: deployed.name.clone(), point, below: true };
    marks.extend(at.filter(|point| point.1.is_finite()).map(named));
    let rings = if marks.len() > 1 { "; rings: the other networks" } else { "" };
    Plot {
        caption: format!("Test top-1 against parameters of each exit{rings}"),
        lines,
        marks,
        ..plot(&PARAMETERS)
    }
}

/// Cost and mean top-1 over the seeds of every exit, the cheapest first.
fn points(experiment: &Experiment, axis: &Axis) -> Vec<(f64, f64)> {
    let exits = &experiment.record().exits;
    let point = |index: usize| {
        let exit = &exits[index];
        let top1 = mean(&experiment.top1(|record| record.exits.get(index))).unwrap_or(f64::NAN);
        let cost = (axis.of)(Cost { params: exit.params, macs: exit.macs });
        (cost as f64, top1)
    };
    let mut points: Vec<_> = (0..exits.len()).map(point).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn sources() -> Table {
    let mut table = Table::new([
        Column::text("Mark"),
        Column::text("Published network"),
        Column::number("Top-1"),
        Column::number("Params"),
        Column::number("MACs"),
        Column::number("Year"),
        Column::text("Source"),
    ]);
    for (index, network) in PUBLISHED.iter().enumerate() {
        table.push([
            letter(index).to_string(),
            network.name.to_owned(),
            percent(network.top1),
            count(network.params),
            or_none(network.macs, count),
            network.year.to_string(),
            network.source.to_owned(),
        ]);
    }
    table
}
