//! Networks side by side: what each costs, and how accurate every exit is.

use super::experiment::{Experiment, shallow_exits};
use super::recipe::Recipe;
use super::row_labels::{ALL, ARCHITECTURE, RowLabels};
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{NONE, count, share};
use crate::record::{Cost, ExitsSummary};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "comparison", title: "Comparison", build };

const EXPLANATION: &str = "Only runs of one recipe stand in one table. Accuracies are of one seed, \
    or the mean ± sample standard deviation over several. − dense and − BYOT are how much more \
    accurate the deepest exit is, in points, than that of the dense plain original of the network, \
    and than that of the same backbone with BYOT's exits; where there are several of these, than \
    the one whose configuration differs least. A difference of single seeds may be the seeds'. \
    exit1 is a network's first exit, whatever stage it is on.";

const COSTS: &str = "Deployed is the network up to its deepest exit, without the others; framework \
    is with every exit, as trained; each exit's column is the network that ends there.";

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
    exits.is_some_and(ExitsSummary::is_byot) && objective.is_some_and(|objective| objective.distils)
}

fn costs(experiments: &[Experiment], labels: RowLabels) -> Table {
    let exits = shallow_exits(experiments);
    let numbers = ["Deployed", "of dense", "Whole framework"];
    let numbers = numbers.into_iter().chain(exits.iter().copied()).map(Column::number);
    let mut table = Table::new(labels.columns.into_iter().chain(numbers));
    for (experiment, first) in experiments.iter().zip(labels.rows) {
        let record = experiment.record();
        let both = |cost: Cost| format!("{} / {}", count(cost.params), count(cost.macs));
        let of_dense = record.dense_original.map_or_else(
            || NONE.to_owned(),
            |dense| {
                let Cost { params, macs } = record.deployed;
                format!("{} / {}", share(params, dense.params), share(macs, dense.macs))
            },
        );
        let deployed = [both(record.deployed), of_dense, both(record.framework)];
        let shallow = record.exits.split_last().map_or(&[][..], |(_, shallow)| shallow);
        let exits = exits.iter().map(|name| {
            let exit = shallow.iter().find(|exit| exit.name == *name);
            exit.map_or_else(
                || NONE.to_owned(),
                |exit| both(Cost { params: exit.params, macs: exit.macs }),
            )
        });
        let cells: Vec<_> = first.into_iter().chain(deployed).chain(exits).collect();
        // What trains differently costs the same.
        if table.rows.iter().all(|row| row.cells != cells) {
            table.push(cells);
        }
    }
    table
}
