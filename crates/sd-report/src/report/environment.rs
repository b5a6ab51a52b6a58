//! Where the runs happened.

use super::run_names::names;
use super::section::Section;
use crate::document::{Cell, Column, Element, Table};
use crate::error::Result;
use crate::format::number::{NONE, bytes};
use crate::record::Environment;
use crate::run_folder::{ENVIRONMENT, Run};

pub(super) const SECTION: Section = Section { id: "environment", title: "Environment", build };

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    match runs {
        [run] => elements.extend(run.environment.as_ref().map(|environment| {
            let mut table = Table::new([Column::text("Property"), Column::text("Value")]);
            for (what, value) in facts(environment) {
                table.push([what.to_owned(), value]);
            }
            Element::Table(table)
        })),
        runs => elements.extend(side_by_side(runs).map(Element::Table)),
    }
    for (run, name) in runs.iter().zip(names(runs)) {
        if run.environment.is_none() {
            let text = format!("{ENVIRONMENT} is missing from {name}.");
            elements.push(Element::Notice(text));
        }
    }
    Ok(elements)
}

/// A row for each run; `None` where no run says where it was.
fn side_by_side(runs: &[Run]) -> Option<Table> {
    let rows: Vec<(String, Vec<(&str, Cell)>)> = runs
        .iter()
        .zip(names(runs))
        .filter_map(|(run, name)| Some((name, facts(run.environment.as_ref()?))))
        .collect();
    let titles = rows.first()?.1.iter().map(|(what, _)| Column::text(*what));
    let mut table = Table::new([Column::text("Run")].into_iter().chain(titles));
    for (name, facts) in rows {
        table.push([name].into_iter().chain(facts.into_iter().map(|(_, value)| value)));
    }
    Some(table)
}

fn facts(environment: &Environment) -> Vec<(&'static str, Cell)> {
    vec![
        ("Device", environment.device.clone()),
        ("Precision", environment.precision.clone()),
        ("Processor", environment.cpu.clone()),
        ("Cores", environment.cores.to_string()),
        ("Threads", environment.threads.to_string()),
        ("Memory", environment.memory_bytes.map_or_else(|| NONE.to_owned(), bytes)),
        ("System", environment.os.clone()),
        ("libtorch", environment.libtorch.clone()),
        ("Version", environment.version.clone()),
        ("Commit", environment.commit.clone().unwrap_or_else(|| NONE.to_owned())),
        ("Started", environment.started.clone()),
        ("Command", environment.command.clone()),
    ]
}
