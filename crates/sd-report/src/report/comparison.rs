//! Networks side by side: costs, and accuracy of every exit.

use super::experiment::{Experiment, shallow_exits};
use super::recipe::Recipe;
use super::row_labels::{ALL, ARCHITECTURE, RowLabels};
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{count, or_none, share};
use crate::record::Cost;
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "comparison", title: "Comparison", build };

const EXPLANATION: &str = "Each table compares runs of one recipe. Accuracies are those of one seed, or \
    mean ± sample standard deviation over several. “− dense” and “− BYOT” are the differences at the \
    deepest exit, in points, to the dense network without exits and to the same backbone with BYOT's \
    exits; if there are several, to the one with the closest configuration. Differences between \
    single seeds may be noise. exit1 is the first exit of a network, whatever its stage.";

const COSTS: &str = "Deployed is the network up to its deepest exit, without the shallow exits; whole \
    framework is the network with all exits, as trained; the column of an exit is the network that \
    ends there.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for recipe in Recipe::finished(runs) {
        elements.push(Element::Heading(recipe.title.clone()));
        elements.extend(recipe.notices());
        let labels = RowLabels::new(&recipe.experiments, ALL).named(&recipe.experiments);
        let lead = format!("Test top-1 after the last epoch{}:", labels.common);
        elements.push(Element::Paragraph(lead));
        elements.push(Element::Table(accuracies(&recipe.experiments, labels)));
        let labels = RowLabels::new(&recipe.experiments, ARCHITECTURE);
        let lead = format!("Parameters / MACs for one image{}:", labels.common);
        elements.push(Element::Paragraph(lead));
        elements.push(Element::Table(costs(&recipe.experiments, labels)));
        elements.push(Element::Paragraph(recipe.details));
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(format!("{EXPLANATION} {COSTS}")));
    }
    Ok(elements)
}

fn accuracies(experiments: &[Experiment], labels: RowLabels) -> Table {
    let exits = shallow_exits(experiments);
    let deepest = [Column::number("Deepest"), Column::text("Seeds")];
    let others = ["− dense", "− BYOT", "Ensemble"].into_iter().chain(exits.iter().copied());
    let columns = labels.columns.into_iter().chain(deepest);
    let mut table = Table::new(columns.chain(others.map(Column::number)));
    for (experiment, first) in experiments.iter().zip(labels.rows) {
        let deepest = [experiment.deepest_score(), experiment.seeds()];
        let gains = [experiment.dense_original(experiments), byot(experiment, experiments)];
        let gains = gains.map(|other| experiment.gain_over(other));
        table.push(first.into_iter().chain(deepest).chain(gains).chain(experiment.scores(&exits)));
    }
    table
}

/// The experiment with BYOT's exits on the same backbone and with the closest configuration;
/// `None` for such an experiment itself.
fn byot<'t, 'a>(experiment: &Experiment, all: &'t [Experiment<'a>]) -> Option<&'t Experiment<'a>> {
    if is_byot(experiment) {
        return None;
    }
    let backbone = experiment.model().map(|model| &model.backbone);
    let same_backbone =
        |other: &&Experiment| other.model().map(|model| &model.backbone) == backbone;
    experiment.closest(all.iter().filter(|other| is_byot(other)).filter(same_backbone))
}

/// Whether it distils into BYOT's exits.
fn is_byot(experiment: &Experiment) -> bool {
    let exits = experiment.model().and_then(|model| model.exits.as_ref());
    let objective = experiment.record().objective_summary.as_ref();
    exits.is_some_and(|exits| exits.is_byot) && objective.is_some_and(|objective| objective.distils)
}

fn costs(experiments: &[Experiment], labels: RowLabels) -> Table {
    let exits = shallow_exits(experiments);
    let numbers = ["Deployed", "of dense", "Whole framework"];
    let numbers = numbers.into_iter().chain(exits.iter().copied()).map(Column::number);
    let mut table = Table::new(labels.columns.into_iter().chain(numbers));
    for (experiment, first) in experiments.iter().zip(labels.rows) {
        let record = experiment.record();
        let both = |cost: Cost| format!("{} / {}", count(cost.params), count(cost.macs));
        let of_dense = or_none(record.dense_original, |dense| {
            let Cost { params, macs } = record.deployed;
            format!("{} / {}", share(params, dense.params), share(macs, dense.macs))
        });
        let deployed = [both(record.deployed), of_dense, both(record.framework)];
        let shallow = record.exits.split_last().map_or(&[][..], |(_, shallow)| shallow);
        let exits = exits.iter().map(|name| {
            let exit = shallow.iter().find(|exit| exit.name == *name);
            or_none(exit, |exit| both(Cost { params: exit.params, macs: exit.macs }))
        });
        let cells: Vec<_> = first.into_iter().chain(deployed).chain(exits).collect();
        // Networks that only train differently cost the same.
        if table.rows.iter().all(|row| row.cells != cells) {
            table.push(cells);
        }
    }
    table
}
