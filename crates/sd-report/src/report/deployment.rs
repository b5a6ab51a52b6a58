//! The exported network: how large, how accurate, how fast, and in which runtime.

use std::collections::BTreeMap;

use super::run_names::names;
use super::section::Section;
use crate::deployment::{DeployRecord, Engine, ExportedModel, Pace, RUNTIMES};
use crate::document::{Column, Element, Highlight, Table};
use crate::error::Result;
use crate::format::number::{NONE, bytes, percent, percent_or_none, plural, points, rate, time};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "deployment", title: "Deployment", build };

/// What has every exit's network to itself, and what all exits share.
const DEEPEST: &str = "deepest";
/// Staged networks, and what chose their thresholds.
const STAGED: [(&str, &str); 2] =
    [("staged", "half a point of top-1"), ("half", "half of the MACs")];

const EXPLANATION: &str = "An exit's file ends there and has no exit before it; staged is one file \
    for each exit, of which an image runs those up to the one it leaves at; on the validation split \
    its thresholds cost at most half a point of top-1, and those of half, which is staged too, at \
    most half of the MACs; the time and share of the MACs of both are means over test images. Each \
    runtime was a process of its own, all in turns; preparing the images is left out. libtorch and \
    PyTorch run the same network unexported, on random images, in 32 bits; the memory of a runtime \
    includes loading the file and the test images.";

const FORMS: &str = "qdq is 8 bits for ONNX Runtime (ort), convinteger 8 bits for the others; each \
    was scored on all test images in a runtime that it is meant for, the deepest exit in all.";

type Paces = BTreeMap<(usize, String, Engine), Pace>;

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let known: Vec<(String, &DeployRecord)> = names(runs)
        .into_iter()
        .zip(runs)
        .filter_map(|(name, run)| Some((name, run.deployment.as_ref()?)))
        .collect();
    Ok(match known.as_slice() {
        [] => Vec::new(),
        [(_, record)] if runs.len() == 1 => of_one(record),
        known => side_by_side(known),
    })
}

fn of_one(record: &DeployRecord) -> Vec<Element> {
    let paces = record.paces();
    let mut elements = vec![
        Element::Highlights(highlights(record, &paces)),
        Element::Table(files(record)),
        Element::Paragraph(FORMS.to_owned()),
        Element::Heading("From a process's start to its first label".to_owned()),
        Element::Table(starts(record)),
    ];
    let engines = engines([&paces]);
    // libtorch and PyTorch measure a whole evaluation too, in batches of its own.
    let exported = paces.keys().filter(|(_, model, _)| record.model(model).is_some());
    let mut batches: Vec<usize> = exported.map(|(batch, ..)| *batch).collect();
    batches.dedup();
    for &batch in &batches {
        let seconds = |pace: &Pace| pace.median().map(time);
        let per_second = |pace: &Pace| pace.median().map(|median| rate(batch as f64 / median));
        elements.push(Element::Heading(match batch {
            1 => "Time of an image, one by one".to_owned(),
            _ => format!("Images a second in batches of {batch}"),
        }));
        let cell: &dyn Fn(&Pace) -> Option<String> =
            if batch == 1 { &seconds } else { &per_second };
        elements.push(Element::Table(grid(record, &paces, batch, &engines, cell)));
    }
    if let Some(&batch) = batches.first() {
        let peak = |pace: &Pace| pace.peak_memory_bytes.map(bytes);
        elements.push(Element::Heading(format!("Peak memory, batch {batch}")));
        elements.push(Element::Table(grid(record, &paces, batch, &engines, &peak)));
    }
    elements.push(Element::Paragraph(format!("{EXPLANATION} {}", how(record))));
    elements
}

/// The machine, and how often.
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

fn highlights(record: &DeployRecord, paces: &Paces) -> Vec<Highlight> {
    let mut all = Vec::new();
    let mut add = |label: &str, value: Option<String>, note: String| {
        all.extend(value.map(|value| Highlight { label: label.to_owned(), value, note }));
    };
    let model = record.model(DEEPEST);
    add("Model", model.map(|model| bytes(model.bytes)), "the deepest exit's file".to_owned());
    add("Program", Some(bytes(record.program_bytes)), "stripped, nothing beside it".to_owned());
    add(
        "First label",
        record.first_label().map(time),
        "from the program's start to its end".to_owned(),
    );
    for (name, limit) in STAGED {
        let Some((ratio, engine)) = over_whole(name, paces) else { continue };
        let top1 = |model: Option<&ExportedModel>| model.and_then(ExportedModel::top1);
        let lost = top1(record.model(name)).zip(top1(model));
        let lost = lost.map(|(staged, whole)| staged - whole);
        let lost = lost.map_or_else(String::new, |lost| format!(", {} points", points(lost)));
        let note = format!("of the time without, {}{lost}", engine.name);
        add(&format!("Early exit, {limit}"), Some(percent(ratio)), note);
    }
    all
}

/// Time of a staged network over the deepest exit's, an image at a time, on the fewest threads of
/// the engine that is the fastest without early exit.
fn over_whole(name: &str, paces: &Paces) -> Option<(f64, Engine)> {
    let threads = paces.keys().map(|(_, _, engine)| engine.threads).min()?;
    let of = |model: &str, engine: &Engine| {
        paces.get(&(1, model.to_owned(), engine.clone())).and_then(Pace::median)
    };
    let engines =
        paces.keys().map(|(_, _, engine)| engine).filter(|engine| engine.threads == threads);
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

/// Where an engine stands: this project's runtimes before libtorch and PyTorch.
fn rank(name: &str) -> usize {
    let known = RUNTIMES.iter().chain(&["libtorch"]);
    known.clone().position(|known| *known == name).unwrap_or(known.count())
}

/// The engines of all records, in the order of their columns.
fn engines<'a>(all: impl IntoIterator<Item = &'a Paces>) -> Vec<Engine> {
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
    paces: &Paces,
    batch: usize,
    engines: &[Engine],
    cell: &dyn Fn(&Pace) -> Option<String>,
) -> Table {
    let titles = engines.iter().map(|engine| Column::number(title(engine)));
    let mut table = Table::new([Column::text("Export")].into_iter().chain(titles));
    for model in &record.models {
        let cells = engines.iter().map(|engine| {
            let pace = paces.get(&(batch, model.name.clone(), engine.clone()));
            pace.and_then(cell).unwrap_or_else(|| NONE.to_owned())
        });
        let cells = [model.name.clone()].into_iter().chain(cells);
        if model.name == DEEPEST { table.push_strong(cells) } else { table.push(cells) }
    }
    table
}

/// A row for each run: its deepest exit, an image at a time.
fn side_by_side(known: &[(String, &DeployRecord)]) -> Vec<Element> {
    let all: Vec<Paces> = known.iter().map(|(_, record)| record.paces()).collect();
    let titles = engines(&all);
    let first = ["Size", "8 bits", "Top-1", "First label"].map(Column::number);
    let engine_columns = titles.iter().map(|engine| Column::number(title(engine)));
    let columns = [Column::text("Run")].into_iter().chain(first).chain(engine_columns);
    let mut table = Table::new(columns);
    for ((name, record), paces) in known.iter().zip(&all) {
        let size = |model: Option<&ExportedModel>| {
            model.map_or_else(|| NONE.to_owned(), |model| bytes(model.bytes))
        };
        let cells = [
            name.clone(),
            size(record.model(DEEPEST)),
            size(record.model("deepest-convinteger")),
            percent_or_none(record.model(DEEPEST).and_then(ExportedModel::top1)),
            record.first_label().map_or_else(|| NONE.to_owned(), time),
        ];
        let times = titles.iter().map(|engine| {
            let pace = paces.get(&(1, DEEPEST.to_owned(), engine.clone()));
            pace.and_then(Pace::median).map_or_else(|| NONE.to_owned(), time)
        });
        table.push(cells.into_iter().chain(times));
    }
    let explanation = "The file of each run's deepest exit, and the time of an image, one by one. \
        Times of different runs compare only where one `cargo xtask bench deploy` measured them in \
        turns.";
    vec![Element::Table(table), Element::Paragraph(explanation.to_owned())]
}
