//! The exit or ensemble to deploy, chosen for each network by validation.

use super::experiment::{Experiment, score, valid_top1};
use super::recipe::Recipe;
use super::run_names::shortened;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{count, or_none, points, share};
use crate::record::ExitScore;
use crate::run_folder::Run;
use crate::stats::mean;

pub(super) const SECTION: Section =
    Section { id: "deploy-choice", title: "The exit or ensemble to deploy", build };

/// Minimum ratio of the dense original's parameters to those of a compressed network.
const COMPRESSION: u64 = 5;

const EXPLANATION: &str = "\
    For each network, the exit, or the ensemble of all exits, with the highest validation \
    accuracy after the last epoch, averaged over the seeds; the test set was not used to choose. \
    If it has more than a fifth of the dense original's parameters, the best with at most a \
    fifth follows. Parameters and MACs are those of the network that ends at the exit, or of all \
    of it for the ensemble, “of dense” their share of the dense original's. “− dense” is the \
    difference in test accuracy, in points, to the dense network without exits; if there are \
    several, to the one with the closest configuration. Accuracies are those of one seed, or \
    mean ± sample standard deviation over several; differences between single seeds may be \
    noise.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for recipe in Recipe::finished(runs) {
        let table = choices(&recipe.experiments);
        if !table.rows.is_empty() {
            elements.push(Element::Heading(recipe.title.clone()));
            elements.extend(recipe.notices());
            elements.push(Element::Table(table));
        }
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// What is worth deploying of each experiment with a validation split.
fn choices(experiments: &[Experiment]) -> Table {
    let numbers = ["Validation", "Test", "− dense", "Params", "of dense", "MACs", "of dense"];
    let columns = ["Run", "Exit", "Seeds"].map(Column::text);
    let mut table = Table::new(columns.into_iter().chain(numbers.map(Column::number)));
    let names = shortened(experiments.iter().map(|experiment| experiment.name.clone()).collect());
    for (experiment, name) in experiments.iter().zip(names) {
        let dense = experiment.record().dense_original;
        for (exit, valid) in worth_deploying(experiment) {
            let test = experiment.top1_of(&exit.name);
            let gain =
                || Some(mean(&test)? - mean(&experiment.dense_original(experiments)?.deepest())?);
            let of_dense =
                |part: u64, whole: Option<u64>| or_none(whole, |whole| share(part, whole));
            table.push([
                name.clone(),
                exit.name.clone(),
                experiment.seeds(),
                score(&valid),
                score(&test),
                or_none(gain(), points),
                count(exit.params),
                of_dense(exit.params, dense.map(|dense| dense.params)),
                count(exit.macs),
                of_dense(exit.macs, dense.map(|dense| dense.macs)),
            ]);
        }
    }
    table
}

/// The best exit or ensemble and, if it is too large for a compressed network, the best small enough one,
/// each with its validation top-1 for each seed.
pub(super) fn worth_deploying(experiment: &Experiment) -> Vec<(ExitScore, Vec<f64>)> {
    let best = chosen(experiment, u64::MAX);
    let most = experiment.record().dense_original.map(|dense| dense.params / COMPRESSION);
    let too_large = |most: &u64| best.as_ref().is_some_and(|(exit, _)| exit.params > *most);
    let small = most.filter(too_large).and_then(|most| chosen(experiment, most));
    best.into_iter().chain(small).collect()
}

/// Whether the network with this exit or ensemble has at most a fifth of the dense original's parameters.
pub(super) fn is_small(experiment: &Experiment, exit: &ExitScore) -> bool {
    let dense = experiment.record().dense_original;
    dense.is_some_and(|dense| exit.params <= dense.params / COMPRESSION)
}

/// The exit or ensemble with the highest mean validation top-1 among those with at most `most`
/// parameters, the first of equals, and its top-1 for each seed.
fn chosen(experiment: &Experiment, most: u64) -> Option<(ExitScore, Vec<f64>)> {
    let valid = |exit: &ExitScore| -> Vec<f64> {
        experiment.runs.iter().filter_map(|run| valid_top1(run, &exit.name)).collect()
    };
    let small = experiment.record().deployable().filter(|exit| exit.params <= most);
    let mut best: Option<(ExitScore, Vec<f64>)> = None;
    for exit in small {
        let scores = valid(&exit);
        let better = mean(&scores) > best.as_ref().and_then(|(_, scores)| mean(scores));
        if better {
            best = Some((exit, scores));
        }
    }
    best
}
