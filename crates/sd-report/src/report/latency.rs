//! How long each exit takes, where `bench infer` measured it.

use std::collections::{BTreeMap, BTreeSet};

use super::recipe::Group;
use super::trial::{Trial, shallow_exits};
use super::words::{ARCHITECTURE, Words};
use super::{Column, Element, Section, Table};
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
        for group in Group::of(runs)? {
            elements.push(Element::Heading(group.title));
            elements.extend(of_group(&group.trials));
        }
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// A table for each size of batch.
fn of_group(trials: &[Trial]) -> Vec<Element> {
    let batches: BTreeSet<usize> = trials.iter().flat_map(exits).map(|exit| exit.batch).collect();
    let place = trials[0].runs[0].latency.as_ref().map_or_else(String::new, |record| {
        let threads = plural(record.threads as u64, "thread");
        format!("{threads}, {}, {}, {}", record.device, record.host.cpu, record.started)
    });
    let table = |batch| {
        let words = Words::of(trials, ARCHITECTURE).named(trials);
        let lead = format!("Batch {batch}, {place}{}:", words.common);
        [Element::Paragraph(lead), Element::Table(medians(trials, words, batch))]
    };
    batches.into_iter().flat_map(table).collect()
}

/// What was measured of the networks that end at its exits.
fn exits<'a>(trial: &Trial<'a>) -> impl Iterator<Item = &'a Measurement> {
    let run = trial.runs[0];
    let measured = run.latency.iter().flat_map(|record| &record.measurements);
    measured.filter(|part| run.summary.exits.iter().any(|exit| exit.name == part.part))
}

fn of_exit<'a>(trial: &Trial<'a>, exit: &str, batch: usize) -> Option<&'a Measurement> {
    exits(trial).find(|measured| measured.part == exit && measured.batch == batch)
}

fn of_deepest<'a>(trial: &Trial<'a>, batch: usize) -> Option<&'a Measurement> {
    of_exit(trial, &trial.record().exits.last()?.name, batch)
}

fn medians(trials: &[Trial], words: Words, batch: usize) -> Table {
    let shallow = shallow_exits(trials);
    let numbers = ["Deepest"].into_iter().chain(shallow.iter().copied()).map(Column::number);
    let columns = words.columns.into_iter().chain([Column::text("Format")]).chain(numbers);
    let mut table = Table::new(columns);
    let median = |measured: &Measurement| measured.timing.median();
    for (trial, first) in trials.iter().zip(words.rows) {
        let dense = trial.dense_original(trials);
        let dense = dense.and_then(|dense| of_deepest(dense, batch)).and_then(median);
        let deepest = of_deepest(trial, batch);
        let format = deepest.map_or_else(|| NONE.to_owned(), |deepest| deepest.precision.clone());
        let exits = shallow.iter().map(|exit| of_exit(trial, exit, batch));
        let cells = [deepest].into_iter().chain(exits).map(|measured| {
            let Some(seconds) = measured.and_then(median) else { return NONE.to_owned() };
            let ratio = dense.map(|dense| format!(" ({:.2})", seconds / dense));
            time(seconds) + &ratio.unwrap_or_default()
        });
        table.push(first.into_iter().chain([format]).chain(cells));
    }
    table
}
