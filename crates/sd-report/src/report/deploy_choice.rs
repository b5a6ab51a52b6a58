//! The exit to deploy: of each network the one that the validation images chose.

use super::experiment::{Experiment, score, valid_top1};
use super::recipe::Recipe;
use super::run_names::shortened;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{NONE, count, points, share};
use crate::record::ExitScore;
use crate::run_folder::Run;
use crate::stats::mean;

pub(super) const SECTION: Section =
    Section { id: "deploy-choice", title: "The exit to deploy", build };

/// A compressed network has at most the dense original's parameters over this.
const COMPRESSION: u64 = 5;

const EXPLANATION: &str = "Of each network the exit that was most accurate on the validation images \
    after the last epoch, in the mean of the seeds; the test images chose nothing. Where that one has \
    more than a fifth of the dense original's parameters, the most accurate of those with at most a \
    fifth follows, if there is one. Parameters and MACs are of the network that ends at the exit, \
    and their shares those of the dense original's. \
    − dense is how much more accurate it is on the test images, in points, than the dense plain \
    original, of several the one whose configuration differs least. Accuracies are of one seed, or \
    the mean ± sample standard deviation over several; a difference of single seeds may be the seeds'.";

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

/// Each experiment that has a validation split: its best exit, and its best small one.
fn choices(experiments: &[Experiment]) -> Table {
    let numbers = ["Validation", "Test", "− dense", "Params", "of dense", "MACs", "of dense"];
    let columns = ["Run", "Exit", "Seeds"].map(Column::text);
    let mut table = Table::new(columns.into_iter().chain(numbers.map(Column::number)));
    let names = shortened(experiments.iter().map(|experiment| experiment.name.clone()).collect());
    for (experiment, name) in experiments.iter().zip(names) {
        let dense = experiment.record().dense_original;
        for (exit, valid) in worth_deploying(experiment) {
            let test =
                experiment.top1(|record| record.exits.iter().find(|other| other.name == exit.name));
            let gain =
                || Some(mean(&test)? - mean(&experiment.dense_original(experiments)?.deepest())?);
            let of_dense = |part: u64, whole: Option<u64>| {
                whole.map_or_else(|| NONE.to_owned(), |whole| share(part, whole))
            };
            table.push([
                name.clone(),
                exit.name.clone(),
                experiment.seeds(),
                score(&valid),
                score(&test),
                gain().map_or_else(|| NONE.to_owned(), points),
                count(exit.params),
                of_dense(exit.params, dense.map(|dense| dense.params)),
                count(exit.macs),
                of_dense(exit.macs, dense.map(|dense| dense.macs)),
            ]);
        }
    }
    table
}

/// The best exit and, where that is too large for a compressed network, the best that is not.
fn worth_deploying<'a>(experiment: &Experiment<'a>) -> Vec<(&'a ExitScore, Vec<f64>)> {
    let best = chosen(experiment, u64::MAX);
    let most = experiment.record().dense_original.map(|dense| dense.params / COMPRESSION);
    let too_large = |most: &u64| best.as_ref().is_some_and(|(exit, _)| exit.params > *most);
    let small = most.filter(too_large).and_then(|most| chosen(experiment, most));
    best.into_iter().chain(small).collect()
}

/// Of the exits with at most `most` parameters the one with the highest mean validation top-1, the
/// cheaper of equals, and its top-1 of each seed.
fn chosen<'a>(experiment: &Experiment<'a>, most: u64) -> Option<(&'a ExitScore, Vec<f64>)> {
    let valid = |exit: &ExitScore| -> Vec<f64> {
        experiment.runs.iter().filter_map(|run| valid_top1(run, &exit.name)).collect()
    };
    let exits = experiment.record().exits.iter().filter(|exit| exit.params <= most);
    let exits = exits.map(|exit| (exit, valid(exit)));
    let mut best: Option<(&ExitScore, Vec<f64>)> = None;
    for (exit, scores) in exits {
        let better = mean(&scores) > best.as_ref().and_then(|(_, scores)| mean(scores));
        if better {
            best = Some((exit, scores));
        }
    }
    best
}
