//! How long each exit takes, where `bench infer` measured it.

use std::collections::{BTreeMap, BTreeSet};

use super::experiment::{Experiment, shallow_exits};
use super::recipe::Recipe;
use super::row_labels::{ARCHITECTURE, RowLabels};
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{NONE, plural, time};
use crate::measurement::{BenchRecord, Measurement};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "latency", title: "Latency", build };

const EXPLANATION: &str = "Each cell is the median time of a batch in the network that ends at this \
    exit, in libtorch, with random weights and images; of several seeds, the first one's. In one \
    table stand runs of one recipe that one command measured in turns. In brackets \
    is the time over that of the dense plain original's deepest exit, of several originals the one \
    whose configuration differs least; there is none without an original in the table. exit1 is a \
    network's first exit, whatever stage it is on.";

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

/// A table for each size of batch.
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

/// What was measured of the networks that end at its exits.
fn exits<'a>(experiment: &Experiment<'a>) -> impl Iterator<Item = &'a Measurement> {
    let run = experiment.runs[0];
    let measured = run.latency.iter().flat_map(|record| &record.measurements);
    measured.filter(|part| run.summary.exits.iter().any(|exit| exit.name == part.part))
}

fn of_exit<'a>(experiment: &Experiment<'a>, exit: &str, batch: usize) -> Option<&'a Measurement> {
    exits(experiment).find(|measured| measured.part == exit && measured.batch == batch)
}

fn of_deepest<'a>(experiment: &Experiment<'a>, batch: usize) -> Option<&'a Measurement> {
    of_exit(experiment, &experiment.record().exits.last()?.name, batch)
}

fn medians(experiments: &[Experiment], labels: RowLabels, batch: usize) -> Table {
    let shallow = shallow_exits(experiments);
    let numbers = ["Deepest"].into_iter().chain(shallow.iter().copied()).map(Column::number);
    let columns = labels.columns.into_iter().chain([Column::text("Format")]).chain(numbers);
    let mut table = Table::new(columns);
    let median = |measured: &Measurement| measured.timing.median();
    for (experiment, first) in experiments.iter().zip(labels.rows) {
        let dense = experiment.dense_original(experiments);
        let dense = dense.and_then(|dense| of_deepest(dense, batch)).and_then(median);
        let deepest = of_deepest(experiment, batch);
        let format = deepest.map_or_else(|| NONE.to_owned(), |deepest| deepest.precision.clone());
        let exits = shallow.iter().map(|exit| of_exit(experiment, exit, batch));
        let cells = [deepest].into_iter().chain(exits).map(|measured| {
            let Some(seconds) = measured.and_then(median) else { return NONE.to_owned() };
            let ratio = dense.map(|dense| format!(" ({:.2})", seconds / dense));
            time(seconds) + &ratio.unwrap_or_default()
        });
        table.push(first.into_iter().chain([format]).chain(cells));
    }
    table
}
