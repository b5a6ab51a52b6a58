//! The exit to deploy: of each network the one that the validation images chose.

use super::recipe::Group;
use super::trial::{Trial, score};
use super::{Column, Element, Section, Table, names};
use crate::error::Result;
use crate::format::number::{NONE, count, points, share};
use crate::record::ExitScore;
use crate::run_folder::Run;
use crate::stats::mean;

pub(super) const SECTION: Section =
    Section { id: "deploy-choice", title: "The exit to deploy", build };

const EXPLANATION: &str = "Of each network the exit that was most accurate on the validation images \
    after the last epoch, in the mean of the seeds; the test images chose nothing. Parameters and \
    MACs are of the network that ends there, and their shares those of the dense original's. \
    − dense is how much more accurate it is on the test images, in points, than the dense plain \
    original. Accuracies are of one seed, or the mean ± sample standard deviation over several.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for group in Group::all(runs)? {
        let table = choices(&group.trials);
        if !table.rows.is_empty() {
            elements.push(Element::Heading(group.title));
            elements.push(Element::Table(table));
        }
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// A row for each trial that has a validation split.
fn choices(trials: &[Trial]) -> Table {
    let numbers = ["Validation", "Test", "− dense", "Params", "of dense", "MACs", "of dense"];
    let columns = ["Run", "Exit", "Seeds"].map(Column::text);
    let mut table = Table::new(columns.into_iter().chain(numbers.map(Column::number)));
    let names = names::shortened(trials.iter().map(|trial| trial.name.clone()).collect());
    for (trial, name) in trials.iter().zip(names) {
        let Some((exit, valid)) = chosen(trial) else { continue };
        let test = trial.top1(|record| record.exits.iter().find(|other| other.name == exit.name));
        let gain = || Some(mean(&test)? - mean(&trial.dense_original(trials)?.deepest())?);
        let dense = trial.record().dense_original;
        let of_dense = |part: u64, whole: Option<u64>| {
            whole.map_or_else(|| NONE.to_owned(), |whole| share(part, whole))
        };
        table.push([
            name,
            exit.name.clone(),
            trial.seeds(),
            score(&valid),
            score(&test),
            gain().map_or_else(|| NONE.to_owned(), points),
            count(exit.params),
            of_dense(exit.params, dense.map(|dense| dense.params)),
            count(exit.macs),
            of_dense(exit.macs, dense.map(|dense| dense.macs)),
        ]);
    }
    table
}

/// The exit with the highest mean validation top-1, the cheaper of equals, and its top-1 of each
/// seed.
fn chosen<'a>(trial: &Trial<'a>) -> Option<(&'a ExitScore, Vec<f64>)> {
    let valid = |name: &str| -> Vec<f64> {
        let last = trial.runs.iter().filter_map(|run| run.epochs.last()?.valid.as_ref());
        last.filter_map(|valid| valid.exits.iter().find(|exit| exit.name == name))
            .map(|exit| exit.top1)
            .collect()
    };
    let exits = trial.record().exits.iter().map(|exit| (exit, valid(&exit.name)));
    let mut best: Option<(&ExitScore, Vec<f64>)> = None;
    for (exit, scores) in exits {
        let better = mean(&scores) > best.as_ref().and_then(|(_, scores)| mean(scores));
        if better {
            best = Some((exit, scores));
        }
    }
    best
}
