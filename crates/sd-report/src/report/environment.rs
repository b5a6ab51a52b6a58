//! Hardware and software of the runs.

use super::run_names::{named, names};
use super::section::Section;
use crate::document::{Cell, Column, Element, Table};
use crate::error::Result;
use crate::format::number::{bytes, or_none};
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

/// A row for each run; `None` if no run has an environment.
fn side_by_side(runs: &[Run]) -> Option<Table> {
    let rows = named(runs, |run| run.environment.as_ref().map(facts));
    let titles = rows.first()?.1.iter().map(|(what, _)| Column::text(*what));
    let mut table = Table::new([Column::text("Run")].into_iter().chain(titles));
    for (name, facts) in rows {
        table.push([name].into_iter().chain(facts.into_iter().map(|(_, value)| value)));
    }
    Some(table)
}

/// Start of the last process, and of the earlier ones if the run was resumed.
fn started(environment: &Environment) -> String {
    let mut text = environment.started.clone();
    for earlier in environment.earlier.iter().rev() {
        text += &format!("; before that {} on {}", earlier.started, earlier.cpu);
    }
    text
}

fn threads(environment: &Environment) -> String {
    let Environment { threads, processes, .. } = environment;
    if *processes == 1 {
        threads.to_string()
    } else {
        format!("{threads} in each of {processes} processes")
    }
}

fn facts(environment: &Environment) -> Vec<(&'static str, Cell)> {
    vec![
        ("Device", environment.device.clone()),
        ("Precision", environment.precision.clone()),
        ("Processor", environment.cpu.clone()),
        ("Cores", environment.cores.to_string()),
        ("Threads", threads(environment)),
        ("Memory", or_none(environment.memory_bytes, bytes)),
        ("System", environment.os.clone()),
        ("libtorch", environment.libtorch.clone()),
        ("Version", environment.version.clone()),
        ("Commit", or_none(environment.commit.clone(), |commit| commit)),
        ("Started", started(environment)),
        ("Command", environment.command.clone()),
    ]
}
