//! Exported networks: size, accuracy and speed in each runtime.

use std::collections::BTreeMap;

use super::run_names::named;
use super::section::Section;
use crate::deployment::{BatchTimes, DeployRecord, Engine, ExportedModel, RUNTIMES};
use crate::document::{Column, Element, Highlight, Table};
use crate::error::Result;
use crate::format::number::{
    NONE, bytes, or_none, percent, percent_or_none, plural, points, rate, time,
};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "deployment", title: "Deployment", build };

/// Name of the export that ends at the deepest exit.
const DEEPEST: &str = "deepest";
/// Names of the staged exports, and the limit that their thresholds keep.
const STAGED: [(&str, &str); 2] =
    [("staged", "half a point of top-1"), ("half", "half of the MACs")];

const EXPLANATION: &str = "The file of an exit ends at that exit and has no other. “staged” has one file \
    per exit, and an image runs through them until it exits: on the validation split, its thresholds \
    cost at most half a point of top-1. “half” is staged too, with thresholds that use at most half \
    of the MACs. Times and MACs of both are means over test images. Each runtime ran in its own \
    process, in turns; preparing the images is not included. libtorch and PyTorch run the same \
    network without export, on random images, in 32 bits. Peak memory includes loading the file and \
    the test images.";

const FORMS: &str = "qdq is the 8-bit form for ONNX Runtime (ort), convinteger the one for the other \
    runtimes. Each was scored on all test images in a runtime that it is meant for, the deepest exit \
    in all.";

type AllTimes = BTreeMap<(usize, String, Engine), BatchTimes>;

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let known = named(runs, |run| run.deployment.as_ref());
    Ok(match known.as_slice() {
        [] => Vec::new(),
        [(_, record)] if runs.len() == 1 => of_one(record),
        known => side_by_side(known),
    })
}

fn of_one(record: &DeployRecord) -> Vec<Element> {
    let times = record.batch_times();
    let mut elements = vec![
        Element::Highlights(highlights(record, &times)),
        Element::Table(files(record)),
        Element::Paragraph(FORMS.to_owned()),
        Element::Heading("Time from process start to first label".to_owned()),
        Element::Table(starts(record)),
    ];
    let engines = engines([&times]);
    // libtorch and PyTorch also measure a whole evaluation, with another batch size.
    let exported = times.keys().filter(|(_, model, _)| record.model(model).is_some());
    let mut batches: Vec<usize> = exported.map(|(batch, ..)| *batch).collect();
    batches.dedup();
    for &batch in &batches {
        let seconds = |measured: &BatchTimes| measured.median().map(time);
        let per_second =
            |measured: &BatchTimes| measured.median().map(|median| rate(batch as f64 / median));
        elements.push(Element::Heading(match batch {
            1 => "Time per image at batch size 1".to_owned(),
            _ => format!("Images per second at batch size {batch}"),
        }));
        let cell: &dyn Fn(&BatchTimes) -> Option<String> =
            if batch == 1 { &seconds } else { &per_second };
        elements.push(Element::Table(grid(record, &times, batch, &engines, cell)));
    }
    if let Some(&batch) = batches.first() {
        let peak = |measured: &BatchTimes| measured.peak_memory_bytes.map(bytes);
        elements.push(Element::Heading(format!("Peak memory at batch size {batch}")));
        elements.push(Element::Table(grid(record, &times, batch, &engines, &peak)));
    }
    elements.push(Element::Paragraph(format!("{EXPLANATION} {}", how(record))));
    elements
}

/// The machine and the number of rounds.
fn how(record: &DeployRecord) -> String {
    let peers = record.rounds.first().and_then(|round| round.peers.first());
    let machine = peers.map(|peer| {
        let commit = peer.host.commit.as_deref().unwrap_or("unknown");
        format!("{}, {}, {} cores, commit {commit}. ", peer.started, peer.host.cpu, peer.host.cores)
    });
    format!(
        "{}The median of {} rounds' means. Command: {}",
        machine.unwrap_or_default(),
        record.rounds.len(),
        record.command
    )
}

fn highlights(record: &DeployRecord, times: &AllTimes) -> Vec<Highlight> {
    let mut all = Vec::new();
    let mut add = |label: &str, value: Option<String>, note: String| {
        all.extend(value.map(|value| Highlight { label: label.to_owned(), value, note }));
    };
    let model = record.model(DEEPEST);
    add("Model", model.map(|model| bytes(model.bytes)), "the deepest exit's file".to_owned());
    add("Program", Some(bytes(record.program_bytes)), "stripped, standalone".to_owned());
    add("First label", record.first_label().map(time), "from program start to end".to_owned());
    for (name, limit) in STAGED {
        let Some((ratio, engine)) = over_whole(name, times) else { continue };
        let top1 = |model: Option<&ExportedModel>| model.and_then(ExportedModel::top1);
        let lost = top1(record.model(name)).zip(top1(model));
        let lost = lost.map(|(staged, whole)| staged - whole);
        let lost = lost.map_or_else(String::new, |lost| format!(", {} points", points(lost)));
        let note = format!("of the time without early exit, {}{lost}", engine.name);
        add(&format!("Early exit, {limit}"), Some(percent(ratio)), note);
    }
    all
}

/// Time of a staged network over that of the deepest exit, at batch size 1 with the fewest threads,
/// in the engine that is the fastest without early exit.
fn over_whole(name: &str, times: &AllTimes) -> Option<(f64, Engine)> {
    let threads = times.keys().map(|(_, _, engine)| engine.threads).min()?;
    let of = |model: &str, engine: &Engine| {
        times.get(&(1, model.to_owned(), engine.clone())).and_then(BatchTimes::median)
    };
    let engines =
        times.keys().map(|(_, _, engine)| engine).filter(|engine| engine.threads == threads);
    let whole = engines.filter_map(|engine| {
        let (staged, whole) = (of(name, engine)?, of(DEEPEST, engine)?);
        Some((whole, staged / whole, engine))
    });
    let (_, ratio, engine) = whole.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((ratio, engine.clone()))
}

fn files(record: &DeployRecord) -> Table {
    let scored = |runtime: &str| record.models.iter().any(|model| model.top1.contains_key(runtime));
    let runtimes: Vec<&str> = RUNTIMES.into_iter().filter(|runtime| scored(runtime)).collect();
    let first = [
        Column::text("Export"),
        Column::number("Size"),
        Column::number("of the float file"),
        Column::number("MACs"),
    ];
    let titles = runtimes.iter().map(|runtime| Column::number(format!("Top-1, {runtime}")));
    let last = [Column::number("− float")];
    let mut table = Table::new(first.into_iter().chain(titles).chain(last));
    for model in &record.models {
        let float = model.name.split_once('-').and_then(|(float, _)| record.model(float));
        let size = float.map(|float| percent(model.bytes as f64 / float.bytes as f64));
        let lost = float.and_then(|float| Some(points(model.top1()? - float.top1()?)));
        let none = || NONE.to_owned();
        let first = [
            model.name.clone(),
            bytes(model.bytes),
            size.unwrap_or_else(none),
            percent(model.macs_share),
        ];
        let top1 =
            runtimes.iter().map(|runtime| percent_or_none(model.top1.get(*runtime).copied()));
        let cells = first.into_iter().chain(top1).chain([lost.unwrap_or_else(none)]);
        if model.name == DEEPEST { table.push_strong(cells) } else { table.push(cells) }
    }
    table
}

/// A column for each program.
fn starts(record: &DeployRecord) -> Table {
    let mut all: Vec<(&str, f64)> = record.first_label_seconds().into_iter().collect();
    all.sort_by_key(|(name, _)| (rank(name), *name));
    let titles = all.iter().map(|(name, _)| Column::number(*name));
    let mut table = Table::new([Column::text("Export")].into_iter().chain(titles));
    let cells = all.iter().map(|(_, seconds)| time(*seconds));
    table.push([DEEPEST.to_owned()].into_iter().chain(cells));
    table
}

/// Position of an engine: exported runtimes before libtorch and PyTorch.
fn rank(name: &str) -> usize {
    let known = RUNTIMES.iter().chain(&["libtorch"]);
    known.clone().position(|known| *known == name).unwrap_or(known.count())
}

/// The engines of all records, in the order of their columns.
fn engines<'a>(all: impl IntoIterator<Item = &'a AllTimes>) -> Vec<Engine> {
    let engines = all.into_iter().flat_map(BTreeMap::keys).map(|(_, _, engine)| engine.clone());
    let mut engines: Vec<Engine> = engines.collect();
    engines.sort_by(|a, b| (rank(&a.name), a).cmp(&(rank(&b.name), b)));
    engines.dedup();
    engines
}

fn title(engine: &Engine) -> String {
    format!("{}, {}", engine.name, plural(engine.threads as u64, "thread"))
}

/// A row for each export, a column for each engine.
fn grid(
    record: &DeployRecord,
    times: &AllTimes,
    batch: usize,
    engines: &[Engine],
    cell: &dyn Fn(&BatchTimes) -> Option<String>,
) -> Table {
    let titles = engines.iter().map(|engine| Column::number(title(engine)));
    let mut table = Table::new([Column::text("Export")].into_iter().chain(titles));
    for model in &record.models {
        let cells = engines.iter().map(|engine| {
            let measured = times.get(&(batch, model.name.clone(), engine.clone()));
            measured.and_then(cell).unwrap_or_else(|| NONE.to_owned())
        });
        let cells = [model.name.clone()].into_iter().chain(cells);
        if model.name == DEEPEST { table.push_strong(cells) } else { table.push(cells) }
    }
    table
}

/// A row for each run: its deepest exit at batch size 1.
fn side_by_side(known: &[(String, &DeployRecord)]) -> Vec<Element> {
    let all: Vec<AllTimes> = known.iter().map(|(_, record)| record.batch_times()).collect();
    let titles = engines(&all);
    let first = ["Size", "8 bits", "Top-1", "First label"].map(Column::number);
    let engine_columns = titles.iter().map(|engine| Column::number(title(engine)));
    let columns = [Column::text("Run")].into_iter().chain(first).chain(engine_columns);
    let mut table = Table::new(columns);
    for ((name, record), times) in known.iter().zip(&all) {
        let size = |model: Option<&ExportedModel>| or_none(model, |model| bytes(model.bytes));
        let cells = [
            name.clone(),
            size(record.model(DEEPEST)),
            size(record.model("deepest-convinteger")),
            percent_or_none(record.model(DEEPEST).and_then(ExportedModel::top1)),
            or_none(record.first_label(), time),
        ];
        let times = titles.iter().map(|engine| {
            let measured = times.get(&(1, DEEPEST.to_owned(), engine.clone()));
            or_none(measured.and_then(BatchTimes::median), time)
        });
        table.push(cells.into_iter().chain(times));
    }
    let explanation = "The file of each run's deepest exit, and its time per image at batch size 1. \
        Times of different runs compare only if the same `cargo xtask bench deploy` measured them in \
        turns.";
    vec![Element::Table(table), Element::Paragraph(explanation.to_owned())]
}
