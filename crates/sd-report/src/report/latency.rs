//! Latency of each exit and the ensemble, as measured by `bench infer`.

use std::collections::{BTreeMap, BTreeSet};

use super::experiment::{Experiment, shallow_exits};
use super::recipe::Recipe;
use super::row_labels::{ARCHITECTURE, RowLabels};
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{NONE, or_none, plural, time};
use crate::measurement::{BenchRecord, Measurement};
use crate::record::ENSEMBLE;
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "latency", title: "Latency", build };

const EXPLANATION: &str = "Median time of a batch in the network that ends at the exit, or, for the ensemble, \
    in all of it, in libtorch, with random weights and images; of several seeds, the first. Each table compares runs of one recipe \
    that the same command measured in turns. In brackets: the ratio to the deepest exit of the dense \
    network without exits, if it is in the table; if there are several, of the one with the closest \
    configuration. exit1 is the first exit of a network, whatever its stage.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut by_command = BTreeMap::<_, Vec<&Run>>::new();
    for run in runs {
        if let Some(BenchRecord { started, command, .. }) = &run.latency {
            by_command.entry((started, command)).or_default().push(run);
        }
    }
    let mut elements = Vec::new();
    for runs in by_command.into_values() {
        for recipe in Recipe::all(runs) {
            elements.push(Element::Heading(recipe.title));
            elements.extend(of_group(&recipe.experiments));
        }
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// A table for each batch size.
fn of_group(experiments: &[Experiment]) -> Vec<Element> {
    let batches: BTreeSet<usize> =
        experiments.iter().flat_map(exits).map(|exit| exit.batch).collect();
    let place = experiments[0].runs[0].latency.as_ref().map_or_else(String::new, |record| {
        let threads = plural(record.threads as u64, "thread");
        format!("{threads}, {}, {}, {}", record.device, record.host.cpu, record.started)
    });
    let table = |batch| {
        let labels = RowLabels::new(experiments, ARCHITECTURE).named(experiments);
        let lead = format!("Batch {batch}, {place}{}:", labels.common);
        [Element::Paragraph(lead), Element::Table(medians(experiments, labels, batch))]
    };
    batches.into_iter().flat_map(table).collect()
}

/// The measurements of its exits and its ensemble.
fn exits<'a>(experiment: &Experiment<'a>) -> impl Iterator<Item = &'a Measurement> {
    let run = experiment.runs[0];
    let measured = run.latency.iter().flat_map(|record| &record.measurements);
    measured.filter(|part| run.summary.deployable().any(|exit| exit.name == part.part))
}

fn of_exit<'a>(experiment: &Experiment<'a>, exit: &str, batch: usize) -> Option<&'a Measurement> {
    exits(experiment).find(|measured| measured.part == exit && measured.batch == batch)
}

fn of_deepest<'a>(experiment: &Experiment<'a>, batch: usize) -> Option<&'a Measurement> {
    of_exit(experiment, &experiment.record().exits.last()?.name, batch)
}

fn medians(experiments: &[Experiment], labels: RowLabels, batch: usize) -> Table {
    let has_ensemble = experiments.iter().any(|one| of_exit(one, ENSEMBLE, batch).is_some());
    let ensemble = has_ensemble.then_some(("Ensemble", ENSEMBLE));
    let shallow = shallow_exits(experiments).into_iter().map(|exit| (exit, exit));
    let others: Vec<_> = ensemble.into_iter().chain(shallow).collect();
    let titles = others.iter().map(|(title, _)| *title);
    let numbers = ["Deepest"].into_iter().chain(titles).map(Column::number);
    let columns = labels.columns.into_iter().chain([Column::text("Format")]).chain(numbers);
    let mut table = Table::new(columns);
    let median = |measured: &Measurement| measured.timing.median();
    for (experiment, first) in experiments.iter().zip(labels.rows) {
        let dense = experiment.dense_original(experiments);
        let dense = dense.and_then(|dense| of_deepest(dense, batch)).and_then(median);
        let deepest = of_deepest(experiment, batch);
        let format = or_none(deepest, |deepest| deepest.precision.clone());
        let others = others.iter().map(|(_, exit)| of_exit(experiment, exit, batch));
        let cells = [deepest].into_iter().chain(others).map(|measured| {
            let Some(seconds) = measured.and_then(median) else { return NONE.to_owned() };
            let ratio = dense.map(|dense| format!(" ({:.2})", seconds / dense));
            time(seconds) + &ratio.unwrap_or_default()
        });
        table.push(first.into_iter().chain([format]).chain(cells));
    }
    table
}
