//! Speed compared with PyTorch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{NATIVE, spread, time_and_rate};
use crate::document::{Block, Column, Document, Element, Highlight, Table};
use crate::format::number::{NONE, bytes, or_none};
use crate::measurement::{BenchRecord, Measurement, Subject};
use crate::stats;

/// The measurements of `bench peers`: `speed.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peers {
    /// The command line.
    pub command: String,
    /// The records of each process, round by round. In each round, this project and PyTorch take
    /// turns.
    pub rounds: Vec<Vec<BenchRecord>>,
    /// Short measurements of every PyTorch setting on small batches, which chose the settings of the
    /// rounds.
    pub probes: Vec<BenchRecord>,
}

/// A workload that several programs ran.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Work {
    config: String,
    part: String,
    batch: usize,
}

/// A workload in one setting, in the rounds that measured it.
#[derive(Debug, Default)]
struct Side {
    /// Precision and layout.
    setting: String,
    /// Medians.
    seconds: Vec<f64>,
    /// Images per second, with the index of the round.
    rates: Vec<(usize, f64)>,
    peaks: Vec<u64>,
}

impl Side {
    fn median_rate(&self) -> Option<f64> {
        stats::median(&self.rates.iter().map(|(_, rate)| *rate).collect::<Vec<_>>())
    }
}

/// The fastest setting by workload and mode.
type Sides = BTreeMap<Work, BTreeMap<String, Side>>;

/// Returns the comparison as a document.
pub fn document(peers: &Peers) -> Document {
    let records = || peers.rounds.iter().flatten();
    let lead = match records().next() {
        Some(first) => format!(
            "{}, {}, {} cores, {} threads, {}, commit {}",
            first.started,
            first.host.cpu,
            first.host.cores,
            first.threads,
            first.device,
            first.host.commit.as_deref().unwrap_or("unknown")
        ),
        None => "nothing was measured".to_owned(),
    };
    let subjects = [
        (Subject::Data, "data", "Loader"),
        (Subject::Step, "step", "Training step"),
        (Subject::Infer, "infer", "Inference"),
    ];
    let mut blocks = vec![how(peers)];
    for (subject, id, title) in subjects {
        let sides = sides(peers, subject);
        if !sides.is_empty() {
            blocks.push(Block { id, title, elements: comparison(&sides) });
        }
    }
    if !peers.probes.is_empty() {
        let elements = vec![Element::Table(probes(&peers.probes))];
        blocks.push(Block {
            id: "settings",
            title: "PyTorch settings, preliminary measurement",
            elements,
        });
    }
    Document { title: "Speed compared with PyTorch".to_owned(), lead, running: false, blocks }
}

fn how(peers: &Peers) -> Block {
    let programs: BTreeSet<&str> =
        peers.rounds.iter().flatten().map(|record| record.program.as_str()).collect();
    let programs = programs.into_iter().collect::<Vec<_>>().join(", ");
    let elements = vec![
        Element::Paragraph(format!("Command: {}", peers.command)),
        Element::Paragraph(format!("Programs: {programs}.")),
        Element::Paragraph(format!(
            "{} rounds. In each, every program runs once in its own process, one after the other. \
             Times are medians of the rounds' medians. Ratios are images per second of this project \
             over those of PyTorch in the same round, above 1 if this project is faster: median over \
             the rounds (lowest–highest). Every repetition is in speed.json.",
            peers.rounds.len()
        )),
    ];
    Block { id: "how", title: "How it was measured", elements }
}

fn sides(peers: &Peers, subject: Subject) -> Sides {
    let mut all = BTreeMap::<(Work, String, String), Side>::new();
    for (round, records) in peers.rounds.iter().enumerate() {
        let records = records.iter().filter(|record| record.subject == subject);
        for measurement in records.flat_map(|record| &record.measurements) {
            let (Some(seconds), Some(rate)) =
                (measurement.timing.median(), measurement.images_per_second())
            else {
                continue;
            };
            let setting = format!("{} {}", measurement.precision, measurement.layout);
            let key = (work(measurement), measurement.mode.clone(), setting.clone());
            let side = all.entry(key).or_insert_with(|| Side { setting, ..Side::default() });
            side.seconds.push(seconds);
            side.rates.push((round, rate));
            side.peaks.extend(measurement.peak_memory_bytes);
        }
    }
    let mut fastest = Sides::new();
    for ((work, mode, _), side) in all {
        let modes = fastest.entry(work).or_default();
        let faster = |other: &Side| side.median_rate() > other.median_rate();
        if modes.get(&mode).is_none_or(faster) {
            modes.insert(mode, side);
        }
    }
    fastest
}

fn work(measurement: &Measurement) -> Work {
    Work {
        config: measurement.config.clone(),
        part: measurement.part.clone(),
        batch: measurement.batch,
    }
}

fn comparison(sides: &Sides) -> Vec<Element> {
    // This project first, then the others by name.
    let others: BTreeSet<&String> =
        sides.values().flat_map(BTreeMap::keys).filter(|mode| *mode != NATIVE).collect();
    let mut columns = vec![
        Column::text("configuration"),
        Column::text("part"),
        Column::number("batch"),
        Column::number("ours"),
    ];
    for mode in &others {
        columns.push(Column::number(mode.as_str()));
        columns.push(Column::number(format!("ours over {mode}")));
    }
    columns.push(Column::text("settings"));
    columns.push(Column::text("peak memory"));
    let mut table = Table::new(columns);
    let mut lowest: Option<(f64, String)> = None;
    for (work, modes) in sides {
        let ours = modes.get(NATIVE);
        let mut cells =
            vec![work.config.clone(), work.part.clone(), work.batch.to_string(), shown(ours)];
        for mode in &others {
            let theirs = modes.get(*mode);
            let ratios = ratios(ours, theirs);
            if let Some(ratio) = stats::median(&ratios)
                && lowest.as_ref().is_none_or(|(least, _)| ratio < *least)
            {
                let Work { config, part, batch } = work;
                lowest = Some((ratio, format!("{config}, {part}, batch {batch}, over {mode}")));
            }
            cells.extend([shown(theirs), ratio_text(&ratios)]);
        }
        let by_mode = |text: fn(&Side) -> String| {
            let named = modes.iter().map(|(mode, side)| format!("{mode}: {}", text(side)));
            named.collect::<Vec<_>>().join("; ")
        };
        cells.push(by_mode(|side| side.setting.clone()));
        cells.push(by_mode(|side| or_none(side.peaks.iter().max(), |&peak| bytes(peak))));
        table.push(cells);
    }
    let mut elements = Vec::new();
    if let Some((ratio, note)) = lowest {
        let (label, value) = ("Lowest ratio".to_owned(), format!("{ratio:.2}"));
        elements.push(Element::Highlights(vec![Highlight { label, value, note }]));
    }
    elements.push(Element::Table(table));
    elements
}

fn shown(side: Option<&Side>) -> String {
    let side = side.map(|side| (stats::median(&side.seconds), side.median_rate()));
    let (seconds, rate) = side.unwrap_or_default();
    time_and_rate(seconds, rate)
}

/// Ratios of the rounds that measured both.
fn ratios(ours: Option<&Side>, theirs: Option<&Side>) -> Vec<f64> {
    let Some((ours, theirs)) = ours.zip(theirs) else { return Vec::new() };
    let pairs = ours.rates.iter().filter_map(|(round, ours)| {
        let theirs = theirs.rates.iter().find(|(other, _)| other == round);
        theirs.map(|(_, theirs)| ours / theirs)
    });
    pairs.collect()
}

fn ratio_text(ratios: &[f64]) -> String {
    let quantile = |p| stats::quantile(ratios, p);
    match (quantile(0.5), quantile(0.0), quantile(1.0)) {
        (Some(median), Some(low), Some(high)) => format!("{median:.2} ({low:.2}–{high:.2})"),
        _ => NONE.to_owned(),
    }
}

fn probes(records: &[BenchRecord]) -> Table {
    let mut table = Table::new([
        Column::text("configuration"),
        Column::text("part"),
        Column::number("batch"),
        Column::text("setting"),
        Column::number("median"),
        Column::number("middle half"),
    ]);
    for measurement in records.iter().flat_map(|record| &record.measurements) {
        table.push([
            measurement.config.clone(),
            measurement.part.clone(),
            measurement.batch.to_string(),
            measurement.setting(),
            time_and_rate(measurement.timing.median(), measurement.images_per_second()),
            spread(measurement),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::markdown;
    use crate::timing::Timing;

    fn record(mode: &str, seconds: f64) -> BenchRecord {
        let mut record = BenchRecord::begin(Subject::Step, format!("{mode} 1"), 2, "cpu".into());
        record.measurements.push(Measurement {
            config: "net".to_owned(),
            part: "step".to_owned(),
            mode: mode.to_owned(),
            precision: "f32".to_owned(),
            layout: "channels_last".to_owned(),
            batch: 8,
            images: 8,
            peak_memory_bytes: Some(1 << 30),
            timing: Timing { raw_seconds: vec![seconds] },
        });
        record
    }

    #[test]
    fn ratios_compare_the_same_round() {
        let round = |ours, theirs| vec![record(NATIVE, ours), record("eager", theirs)];
        let peers = Peers {
            command: "cargo xtask bench peers".to_owned(),
            rounds: vec![round(1.0, 2.0), round(2.0, 2.0), round(4.0, 2.0)],
            probes: vec![record("eager", 2.5)],
        };
        let text = markdown::render(&document(&peers));
        for expected in [
            "- Lowest ratio: **1.00**, net, step, batch 8, over eager",
            "| net | step | 8 | 2.00 s (4.00/s) | 2.00 s (4.00/s) | 1.00 (0.50–2.00) |",
            "eager: 1.00 GiB; native: 1.00 GiB",
            "| eager f32 channels_last | 2.50 s (3.20/s) |",
        ] {
            assert!(text.contains(expected), "no `{expected}` in {text}");
        }
    }

    #[test]
    fn a_round_that_measured_one_side_only_has_no_ratio() {
        let both = |ours, theirs| vec![record(NATIVE, ours), record("eager", theirs)];
        let peers = Peers {
            command: String::new(),
            rounds: vec![vec![record(NATIVE, 1.0)], both(2.0, 1.0), both(2.0, 1.0)],
            probes: Vec::new(),
        };
        let text = markdown::render(&document(&peers));
        assert!(text.contains("| 0.50 (0.50–0.50) |"), "{text}");
    }

    #[test]
    fn each_mode_has_its_fastest_setting() {
        let mut slower = record("eager", 2.0);
        slower.measurements[0].precision = "bf16".to_owned();
        let round = vec![record(NATIVE, 1.0), record("eager", 0.5), slower];
        let peers = Peers { command: String::new(), rounds: vec![round], probes: Vec::new() };
        let text = markdown::render(&document(&peers));
        assert!(text.contains("| 0.50 (0.50–0.50) |") && !text.contains("bf16"), "{text}");
    }

    #[test]
    fn a_workload_of_one_program_has_no_ratio() {
        let peers = Peers {
            command: String::new(),
            rounds: vec![vec![record(NATIVE, 1.0)]],
            probes: Vec::new(),
        };
        let text = markdown::render(&document(&peers));
        assert!(text.contains("1.00 s (8.00/s)") && !text.contains("Lowest"), "{text}");
    }
}
