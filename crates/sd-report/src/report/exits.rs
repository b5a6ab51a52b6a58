//! Accuracy of each exit, and its cost when deployed alone.

use super::run_names::names;
use super::section::Section;
use crate::document::{Cell, Column, Element, Table};
use crate::error::Result;
use crate::figure::{Line, Plot, Range, Ticks};
use crate::format::number::{NONE, count, loss, percent_or_none, share};
use crate::record::{ENSEMBLE, ExitScore};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "exits", title: "Exits", build };

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    if runs.iter().all(|run| run.summary.exits.is_empty()) {
        return Ok(Vec::new());
    }
    let mut elements = vec![Element::Table(table(runs))];
    let explanation = "Test set, after the last epoch. Parameters and MACs are those of the network \
        cut off at that exit, without the other exits; shares are relative to the deployed network. \
        The ensemble is the mean of all exits' logits and costs the whole framework.";
    elements.push(Element::Paragraph(explanation.to_owned()));
    // Its figure is among the findings, without early exit.
    if let [run] = runs
        && run.summary.exits.len() > 1
        && run.evaluation.as_ref().is_some_and(|evaluation| evaluation.early_exit.is_some())
    {
        elements.extend(Element::drawn([plot(&run.summary.exits)])?);
    }
    Ok(elements)
}

fn table(runs: &[Run]) -> Table {
    let several = runs.len() > 1;
    let columns = [
        Column::text("Exit"),
        Column::number("Top-1"),
        Column::number("Top-5"),
        Column::number("Loss"),
        Column::number("Params"),
        Column::number("Share"),
        Column::number("MACs"),
        Column::number("Share"),
    ];
    let mut table = Table::new(several.then(|| Column::text("Run")).into_iter().chain(columns));
    for (run, name) in runs.iter().zip(names(runs)) {
        let record = &run.summary;
        // Only the first row of a run has its name.
        let mut name = several.then_some(name);
        let mut cells = |cells: [Cell; 8]| {
            let first = name.as_mut().map(std::mem::take);
            first.into_iter().chain(cells)
        };
        for (index, exit) in record.exits.iter().enumerate() {
            let row = cells([
                exit.name.clone(),
                percent_or_none(exit.test_top1),
                percent_or_none(exit.test_top5),
                test_loss(exit.test_top1, exit.test_loss),
                count(exit.params),
                share(exit.params, record.deployed.params),
                count(exit.macs),
                share(exit.macs, record.deployed.macs),
            ]);
            if index + 1 == record.exits.len() { table.push_strong(row) } else { table.push(row) }
        }
        let ensemble = &record.ensemble;
        table.push(cells([
            ENSEMBLE.to_owned(),
            percent_or_none(ensemble.test_top1),
            percent_or_none(ensemble.test_top5),
            test_loss(ensemble.test_top1, ensemble.test_loss),
            count(record.framework.params),
            share(record.framework.params, record.deployed.params),
            count(record.framework.macs),
            share(record.framework.macs, record.deployed.macs),
        ]));
    }
    table
}

/// JSON has no NaN: a loss that is missing beside an accuracy was not finite.
fn test_loss(top1: Option<f64>, test_loss: Option<f64>) -> String {
    match (test_loss, top1) {
        (Some(value), _) => loss(value),
        (None, Some(_)) => loss(f64::NAN),
        (None, None) => NONE.to_owned(),
    }
}

/// Each exit has its own line, in the same colour as in the curves.
pub(super) fn plot(exits: &[ExitScore]) -> Plot {
    let line = |(index, exit): (usize, &ExitScore)| Line {
        name: exit.name.clone(),
        points: vec![(exit.macs as f64, exit.test_top1.unwrap_or(f64::NAN))],
        dots: vec![],
        strong: index + 1 == exits.len(),
    };
    Plot {
        name: "accuracy-against-macs".to_owned(),
        caption: "Test top-1 against MACs of each exit".to_owned(),
        x_label: "MACs per image",
        x: Ticks::Count,
        y: Ticks::Percent,
        x_range: Range::Zero,
        y_from_zero: false,
        lines: exits.iter().enumerate().map(line).collect(),
        marks: Vec::new(),
    }
}
