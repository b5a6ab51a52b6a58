//! The best epoch, as chosen by validation, beside the last one.

use super::run_names::named;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{or_none, percent, percent_or_none, points};
use crate::record::{ENSEMBLE, ExitAccuracy};
use crate::run_folder::Run;

pub(super) const SECTION: Section =
    Section { id: "best-epoch", title: "Best epoch and last epoch", build };

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let chosen = named(runs, |run| Some((&run.summary, run.summary.best.as_ref()?)));
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let several = runs.len() > 1;
    let columns = [
        Column::text("Exit"),
        Column::number("Top-1, best epoch"),
        Column::number("Top-1, last epoch"),
        Column::number("Best − last, points"),
    ];
    let mut table = Table::new(several.then(|| Column::text("Run")).into_iter().chain(columns));
    let mut elements = Vec::new();
    for (name, (record, best)) in chosen {
        let subject = if several { format!("{name}: validation") } else { "Validation".to_owned() };
        elements.push(Element::Paragraph(format!(
            "{subject} top-1 of the deepest exit, {}, chose epoch {} of {}.{}",
            percent(best.valid_top1),
            best.epoch,
            record.epochs,
            if best.exits.is_empty() { "" } else { " The test set was not used to choose." }
        )));
        let mut name = several.then_some(name);
        let mut row = |exit: &ExitAccuracy, label: &str, last: Option<f64>| {
            let cells = [
                label.to_owned(),
                percent(exit.top1),
                percent_or_none(last),
                or_none(last, |last| points(exit.top1 - last)),
            ];
            name.as_mut().map(std::mem::take).into_iter().chain(cells)
        };
        for (index, exit) in best.exits.iter().enumerate() {
            let last = record.exits.iter().find(|last| last.name == exit.name);
            let row = row(exit, &exit.name, last.and_then(|last| last.test_top1));
            if index + 1 == best.exits.len() { table.push_strong(row) } else { table.push(row) }
        }
        if let Some(ensemble) = &best.ensemble {
            table.push(row(ensemble, ENSEMBLE, record.ensemble.test_top1));
        }
    }
    if !table.rows.is_empty() {
        elements.push(Element::Table(table));
    }
    Ok(elements)
}
