//! Overview: the network, its compression and its accuracy.

use super::experiment::valid_top1;
use super::run_names::{names, shortened};
use super::section::Section;
use crate::document::{Column, Element, Highlight, Table};
use crate::error::Result;
use crate::format::number::{
    count, duration, or_none, percent, percent_or_none, plural, rate, times,
};
use crate::record::{ExitScore, RunRecord, Status};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "overview", title: "Overview", build };

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = match runs {
        [run] => vec![
            Element::Highlights(highlights(run)),
            Element::Paragraph(circumstances(&run.summary)),
        ],
        runs => vec![Element::Table(table(runs))],
    };
    // Those of a single run come first in the report, with its findings.
    if runs.len() > 1 {
        elements.extend(notices(runs).map(Element::Notice));
    }
    Ok(elements)
}

/// What limits the result of each run.
pub(super) fn notices(runs: &[Run]) -> impl Iterator<Item = String> {
    let mut notices = Vec::new();
    for (run, name) in runs.iter().zip(names(runs)) {
        let name = if runs.len() == 1 { "This run".to_owned() } else { name };
        let epochs = plural(run.summary.epochs, "epoch");
        let deepest = run.summary.exits.last();
        if run.summary.status == Status::Finished
            && deepest.is_some_and(|deepest| deepest.test_top1.is_none())
        {
            let what = run.summary.best.as_ref().map_or(",".to_owned(), |best| {
                let top1 = percent(best.valid_top1);
                format!(" epoch {} of {}, {top1},", best.epoch, run.summary.epochs)
            });
            let what = format!("validation chose{what} and nothing tested");
            notices.push(format!("{name} had no test split: {what}."));
        }
        match run.summary.status {
            Status::Finished if run.summary.stopped_early => notices.push(format!(
                "{name} stopped after {epochs} because validation accuracy no longer improved."
            )),
            Status::Finished => {}
            Status::Running => {
                notices.push(format!("{name} is training: {epochs} finished, nothing tested yet."));
            }
            Status::Interrupted => notices
                .push(format!("{name} was interrupted after {epochs}: its numbers are not final.")),
            Status::Failed => {
                notices.push(format!("{name} failed after {epochs}: its numbers are not results."))
            }
        }
    }
    notices.into_iter()
}

fn highlights(run: &Run) -> Vec<Highlight> {
    let record = &run.summary;
    let deepest = record.exits.last();
    let cost = |label: &str, part: u64, dense: Option<u64>| Highlight {
        label: label.to_owned(),
        value: count(part),
        note: dense.map_or_else(String::new, |dense| {
            format!("{} fewer than dense, {}", times(dense, part), count(dense))
        }),
    };
    let exits = plural(record.exits.len() as u64, "exit");
    let chosen = chosen_exit(run).map_or_else(String::new, |chosen| {
        if deepest != Some(chosen) {
            format!("validation chose {}, {}", chosen.name, percent_or_none(chosen.test_top1))
        } else if record.exits.len() > 1 {
            format!("the best of {exits} on validation")
        } else {
            String::new()
        }
    });
    vec![
        Highlight {
            label: "Test top-1, deepest exit".to_owned(),
            value: percent_or_none(deepest.and_then(|exit| exit.test_top1)),
            note: chosen,
        },
        Highlight {
            label: "Test top-1, ensemble".to_owned(),
            value: percent_or_none(record.ensemble.test_top1),
            note: format!("mean of {exits}"),
        },
        cost(
            "Parameters, deployed",
            record.deployed.params,
            record.dense_original.map(|dense| dense.params),
        ),
        cost("MACs, deployed", record.deployed.macs, record.dense_original.map(|dense| dense.macs)),
    ]
}

fn circumstances(record: &RunRecord) -> String {
    format!(
        "Objective {}, {}, seed {} (one seed), {} images/s, {}.",
        record.objective,
        plural(record.epochs, "epoch"),
        record.seed,
        rate(record.images_per_second),
        duration(record.seconds),
    )
}

fn table(runs: &[Run]) -> Table {
    let mut table = Table::new([
        Column::text("Run"),
        Column::number("Top-1, deepest"),
        Column::number("Ensemble"),
        Column::number("Exit by validation"),
        Column::number("Params"),
        Column::number("Fewer"),
        Column::number("MACs"),
        Column::number("Fewer"),
        Column::number("Epochs"),
        Column::number("Seed"),
    ]);
    for (run, name) in runs.iter().zip(shortened(names(runs))) {
        let record = &run.summary;
        let (deployed, dense) = (record.deployed, record.dense_original);
        let chosen = or_none(chosen_exit(run), |exit| {
            format!("{} ({})", percent_or_none(exit.test_top1), exit.name)
        });
        table.push([
            name,
            percent_or_none(record.exits.last().and_then(|exit| exit.test_top1)),
            percent_or_none(record.ensemble.test_top1),
            chosen,
            count(deployed.params),
            or_none(dense, |dense| times(dense.params, deployed.params)),
            count(deployed.macs),
            or_none(dense, |dense| times(dense.macs, deployed.macs)),
            record.epochs.to_string(),
            record.seed.to_string(),
        ]);
    }
    table
}

/// The exit with the highest validation top-1 after the last epoch; among equals, the shallowest.
pub(super) fn chosen_exit(run: &Run) -> Option<&ExitScore> {
    let exits = run.summary.exits.iter();
    let scored = exits.filter_map(|exit| Some((exit, valid_top1(run, &exit.name)?)));
    scored.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(exit, _)| exit)
}
