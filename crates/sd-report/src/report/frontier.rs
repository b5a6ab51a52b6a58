//! Accuracy against cost: every exit and ensemble, beside published networks.

use std::collections::{BTreeMap, BTreeSet};

use super::experiment::Experiment;
use super::published::{DATASET, PUBLISHED, Published, letter};
use super::recipe::{Recipe, figure_suffix};
use super::run_names::shortened;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::figure::{Line, Mark, Plot, Range, Ticks};
use crate::format::number::{count, or_none, percent};
use crate::measurement::BenchRecord;
use crate::record::ExitScore;
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
        let mut axes = vec![Axis::parameters(), Axis::macs()];
        axes.extend(Axis::latency(recipe));
        let plots = axes.iter().map(|axis| with_published(recipe, published, axis, &number));
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
struct Axis<'a> {
    name: &'static str,
    label: &'static str,
    ticks: Ticks,
    of: Box<CostOfExit<'a>>,
    of_published: fn(&Published) -> Option<u64>,
}

/// Cost of the network with an exit or ensemble of an experiment, if it is known.
type CostOfExit<'a> = dyn Fn(&Experiment, &ExitScore) -> Option<f64> + 'a;

/// Batch of the latency.
const BATCH: usize = 1;

impl<'a> Axis<'a> {
    fn parameters() -> Self {
        Self {
            name: "accuracy-against-parameters",
            label: "parameters",
            ticks: Ticks::Count,
            of: Box::new(|_, exit| Some(exit.params as f64)),
            of_published: |network| Some(network.params),
        }
    }

    fn macs() -> Self {
        Self {
            name: "accuracy-against-macs",
            label: "MACs per image",
            ticks: Ticks::Count,
            of: Box::new(|_, exit| Some(exit.macs as f64)),
            of_published: |network| network.macs,
        }
    }

    /// The latency of one image that one command measured of at least two of the experiments: the
    /// latest command that did.
    fn latency(recipe: &'a Recipe) -> Option<Self> {
        let commands = |experiment: &Experiment<'a>| -> BTreeSet<_> {
            let records = experiment.runs.iter().filter_map(|run| run.latency.as_ref());
            let of_one = |record: &&BenchRecord| {
                record.measurements.iter().any(|measured| measured.batch == BATCH)
            };
            records.filter(of_one).map(|record| (&record.started, &record.command)).collect()
        };
        let mut experiments = BTreeMap::<_, usize>::new();
        for command in recipe.experiments.iter().flat_map(commands) {
            *experiments.entry(command).or_default() += 1;
        }
        let (latest, _) = experiments.into_iter().rfind(|&(_, measured)| measured > 1)?;
        let of = move |experiment: &Experiment, exit: &ExitScore| {
            let records = experiment.runs.iter().filter_map(|run| run.latency.as_ref());
            let mut records = records.filter(|record| (&record.started, &record.command) == latest);
            let mut parts = records.next()?.measurements.iter();
            parts.find(|part| part.part == exit.name && part.batch == BATCH)?.timing.median()
        };
        Some(Self {
            name: "accuracy-against-latency",
            label: "latency of one image in libtorch",
            ticks: Ticks::Time,
            of: Box::new(of),
            of_published: |_| None,
        })
    }
}

/// The published networks on the recipe's data set.
fn of(recipe: &Recipe) -> &'static [Published] {
    let known = recipe.experiments.iter().any(|experiment| experiment.record().dataset == DATASET);
    if known { &PUBLISHED } else { &[] }
}

fn with_published(recipe: &Recipe, published: &[Published], axis: &Axis, number: &str) -> Plot {
    let names = recipe.experiments.iter().map(|experiment| experiment.name.clone()).collect();
    let lines = recipe.experiments.iter().zip(shortened(names)).filter_map(|(experiment, name)| {
        let points = points(experiment, axis);
        let dots = points.iter().copied().filter(|point| point.1.is_finite()).collect();
        (!points.is_empty()).then_some(Line { name, points, dots, strong: false })
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
        caption: format!("Test top-1 against {} of each exit and ensemble", axis.label),
        x_label: axis.label,
        x: axis.ticks,
        y: Ticks::Percent,
        x_range: Range::Logarithmic,
        y_from_zero: false,
        lines: Vec::new(),
        marks: Vec::new(),
    }
}

/// The `shown` experiments, the first highlighted with what to deploy of it, against
/// parameters. Every other experiment of `all` is a number of unnamed points.
pub(super) fn highlight(all: &[Experiment], shown: &[&Experiment], deployed: &ExitScore) -> Plot {
    let parameters = Axis::parameters();
    let names = shortened(shown.iter().map(|experiment| experiment.name.clone()).collect());
    let lines = shown.iter().zip(names).enumerate().map(|(index, (experiment, name))| {
        let points = points(experiment, &parameters);
        let dots = points.iter().copied().filter(|point| point.1.is_finite()).collect();
        Line { name, points, dots, strong: index == 0 }
    });
    let lines: Vec<_> = lines.collect();
    let is_shown = |other: &Experiment| shown.iter().any(|shown| std::ptr::eq(*shown, other));
    let others = all.iter().filter(|experiment| !is_shown(experiment));
    let rings = others.flat_map(|experiment| points(experiment, &parameters));
    let rings = rings.filter(|point| point.1.is_finite());
    let mut marks: Vec<_> =
        rings.map(|point| Mark { name: String::new(), point, below: false }).collect();
    let at = lines[0].points.iter().find(|point| point.0 == deployed.params as f64);
    let named = |&point: &(f64, f64)| Mark { name: deployed.name.clone(), point, below: true };
    marks.extend(at.filter(|point| point.1.is_finite()).map(named));
    let rings = if marks.len() > 1 { "; rings: the other networks" } else { "" };
    Plot {
        caption: format!("Test top-1 against parameters of each exit and ensemble{rings}"),
        lines,
        marks,
        ..plot(&parameters)
    }
}

/// Cost and mean top-1 over the seeds of every exit and the ensemble, if their cost is known, the
/// cheapest first.
fn points(experiment: &Experiment, axis: &Axis) -> Vec<(f64, f64)> {
    let point = |exit: ExitScore| {
        let top1 = mean(&experiment.top1_of(&exit.name)).unwrap_or(f64::NAN);
        Some(((axis.of)(experiment, &exit)?, top1))
    };
    let mut points: Vec<_> = experiment.record().deployable().filter_map(point).collect();
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
