//! Reports of one or more runs.
//!
//! Each section is one file of this folder, which turns runs into [`Element`](crate::document::Element)s, and one line of
//! [`SECTIONS`].

mod ablations;
mod best_epoch;
mod calibration;
mod choice;
mod classes;
mod comparison;
mod configuration;
mod confusion;
mod costs;
mod curves;
mod deploy_choice;
mod deployment;
mod early_exit;
mod end_of_training;
mod environment;
mod exact_table;
mod exits;
mod experiment;
mod findings;
mod frontier;
mod latency;
mod mistakes;
mod model_labels;
mod overview;
mod published;
mod recipe;
mod row_labels;
mod run_names;
mod section;

use std::collections::BTreeSet;

pub use choice::{Candidate, Limits, choose};
pub use end_of_training::end_of_training;
pub use exact_table::exact_table;
pub use findings::findings;
pub use section::Section;

use crate::document::{Block, Document};
use crate::error::{Error, Result};
use crate::evaluation::EvaluationRecord;
use crate::format::terminal;
use crate::record::Status;
use crate::run_folder::Run;
use run_names::names;

/// The sections of a report, in order.
pub const SECTIONS: &[Section] = &[
    findings::SECTION,
    overview::SECTION,
    deploy_choice::SECTION,
    comparison::SECTION,
    latency::SECTION,
    frontier::SECTION,
    ablations::SECTION,
    exits::SECTION,
    costs::SECTION,
    best_epoch::SECTION,
    early_exit::SECTION,
    deployment::SECTION,
    calibration::SECTION,
    classes::SECTION,
    confusion::SECTION,
    mistakes::SECTION,
    curves::SECTION,
    configuration::SECTION,
    environment::SECTION,
];

/// Maximum number of runs to name under the title; for more, only the data sets are given.
const NAMES_IN_LEAD: usize = 6;

/// Builds the report of one or more runs.
///
/// # Errors
/// If there is no run, or a figure cannot be drawn.
pub fn document(runs: &[Run]) -> Result<Document> {
    let (title, lead) = match runs {
        [] => return Err(Error::NoRuns),
        [run] => {
            let record = &run.summary;
            (record.name.clone(), format!("{} on {}", record.model, record.dataset))
        }
        runs => {
            let many = runs.len() > NAMES_IN_LEAD;
            let lead = if many { datasets(runs) } else { names(runs).join(", ") };
            (format!("{} runs", runs.len()), lead)
        }
    };
    let mut blocks = Vec::new();
    for section in SECTIONS {
        let elements = (section.build)(runs)?;
        if !elements.is_empty() {
            blocks.push(Block { id: section.id, title: section.title, elements });
        }
    }
    let running = runs.iter().any(|run| run.summary.status == Status::Running);
    Ok(Document { title, lead, running, blocks })
}

fn datasets(runs: &[Run]) -> String {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.summary.dataset.as_str()).collect();
    format!("on {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// Returns the section with this [`id`](Section::id).
pub fn section(id: &str) -> Option<Section> {
    SECTIONS.iter().find(|section| section.id == id).copied()
}

/// Formats an evaluation for a terminal: the scores of every exit, and early exit at each budget.
pub fn evaluation_text(evaluation: &EvaluationRecord) -> String {
    let EvaluationRecord { split, images, weights, .. } = evaluation;
    let scores = terminal::render(&calibration::table(evaluation));
    let mut text = format!("{images} images of the {split} split, {weights}\n\n{scores}");
    if let Some(early) = &evaluation.early_exit {
        let images = early.valid_images;
        text += &format!("\n\nearly exit, thresholds chosen on {images} validation images\n\n");
        text += &terminal::render(&early_exit::budgets(evaluation, early));
    }
    text
}
