//! How long each exit takes, where `bench infer` measured it.

use std::collections::BTreeSet;

use super::trial::{Trial, shallow_exits};
use super::words::{ARCHITECTURE, Words};
use super::{Column, Element, Section, Table};
use crate::error::Result;
use crate::format::number::{NONE, plural, time};
use crate::measurement::{BenchRecord, Measurement};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "latency", title: "Latency", build };

const EXPLANATION: &str = "Each cell is the median time of a batch in the network that ends at this \
    exit, as libtorch computes it without exporting it; in brackets, that time over the time of the \
    dense plain original's deepest exit. What stands in one table was measured by one command, one \
    network after the other.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    let measured = || runs.iter().filter(|run| run.latency.is_some());
    let commands: BTreeSet<_> = measured().filter_map(command).collect();
    for together in commands {
        let runs = measured().filter(|run| command(run) == Some(together));
        let mut trials = Trial::all(runs)?;
        trials.sort_by_cached_key(|trial| trial.model.order());
        elements.extend(of_command(&trials));
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// What measured a run: the moment it was started, and its words.
fn command(run: &Run) -> Option<(&str, &str)> {
    run.latency.as_ref().map(|record| (record.started.as_str(), record.command.as_str()))
}

fn latency<'a>(trial: &Trial<'a>) -> Option<&'a BenchRecord> {
    trial.runs[0].latency.as_ref()
}

/// A table for each size of batch.
fn of_command(trials: &[Trial]) -> Vec<Element> {
    let Some(BenchRecord { host, threads, device, started, .. }) = latency(&trials[0]) else {
        return Vec::new();
    };
    let measured = || trials.iter().flat_map(of_exits);
    let batches: BTreeSet<usize> = measured().map(|measured| measured.batch).collect();
    let formats: BTreeSet<&str> = measured().map(|found| found.precision.as_str()).collect();
    let formats = formats.into_iter().collect::<Vec<_>>().join(" and ");
    let threads = plural(*threads as u64, "thread");
    let place = format!("{formats}, {threads}, {device}, {}, {started}", host.cpu);
    let table = |batch| {
        let words = Words::of(trials, ARCHITECTURE).named(trials);
        let lead = format!("Batch {batch}, {place}{}:", words.common);
        [Element::Paragraph(lead), Element::Table(times(trials, words, batch))]
    };
    batches.into_iter().flat_map(table).collect()
}

/// What was measured of the networks that end at its exits.
fn of_exits<'a>(trial: &Trial<'a>) -> impl Iterator<Item = &'a Measurement> {
    let exits = &trial.record().exits;
    let measured = latency(trial).into_iter().flat_map(|record| &record.measurements);
    measured.filter(|measured| exits.iter().any(|exit| exit.name == measured.part))
}

fn times(trials: &[Trial], words: Words, batch: usize) -> Table {
    let exits = shallow_exits(trials);
    let numbers = ["Deepest"].into_iter().chain(exits.iter().copied()).map(Column::number);
    let mut table = Table::new(words.columns.into_iter().chain(numbers));
    let median = |trial: &Trial, exit: &str| {
        let found = of_exits(trial).find(|found| found.part == exit && found.batch == batch);
        found?.timing.median()
    };
    let deepest = |trial: &Trial| median(trial, &trial.record().exits.last()?.name);
    for (trial, first) in trials.iter().zip(words.rows) {
        let dense = trial.dense_original(trials).and_then(deepest);
        let shallow = exits.iter().map(|exit| median(trial, exit));
        let cells = [deepest(trial)].into_iter().chain(shallow).map(|seconds| {
            let ratio = |dense| seconds.map(|seconds| format!(" ({:.2})", seconds / dense));
            let ratio = dense.and_then(ratio).unwrap_or_default();
            seconds.map_or_else(|| NONE.to_owned(), time) + &ratio
        });
        table.push(first.into_iter().chain(cells));
    }
    table
}
