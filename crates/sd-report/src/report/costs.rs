//! What is deployed, what is trained, and what both replace.

use super::run_names::names;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::format::number::{NONE, count, share};
use crate::record::Cost;
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "costs", title: "Costs", build };

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let several = runs.len() > 1;
    let columns = [
        Column::text("Network"),
        Column::number("Params"),
        Column::number("of dense"),
        Column::number("MACs"),
        Column::number("of dense"),
    ];
    let mut table = Table::new(several.then(|| Column::text("Run")).into_iter().chain(columns));
    for (run, name) in runs.iter().zip(names(runs)) {
        let record = &run.summary;
        let mut name = several.then_some(name);
        let mut row = |what: &str, cost: Cost| {
            let of = |part: u64, whole: fn(Cost) -> u64| {
                record
                    .dense_original
                    .map_or_else(|| NONE.to_owned(), |dense| share(part, whole(dense)))
            };
            let cells = [
                what.to_owned(),
                count(cost.params),
                of(cost.params, |dense| dense.params),
                count(cost.macs),
                of(cost.macs, |dense| dense.macs),
            ];
            name.as_mut().map(std::mem::take).into_iter().chain(cells)
        };
        table.push_strong(row("deployed: up to the deepest exit", record.deployed));
        table.push(row("framework: every exit, as trained", record.framework));
        if let Some(dense) = record.dense_original {
            table.push(row("dense original: up to the deepest exit", dense));
        }
    }
    let explanation = "MACs are multiply-accumulates for one image. They are a count, not a speed.";
    Ok(vec![Element::Table(table), Element::Paragraph(explanation.to_owned())])
}
