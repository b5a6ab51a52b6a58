//! From records to a report.
//!
//! A report is a [`Document`]: sections of [`Element`]s, which know nothing of HTML or
//! Markdown. Each section is one file of this folder that maps the runs to elements, and one
//! line of [`SECTIONS`].

mod ablations;
mod axis;
mod best_epoch;
mod calibration;
mod canvas;
mod classes;
mod comparison;
mod configuration;
mod confusion;
mod costs;
mod curves;
mod deploy_choice;
mod deployment;
mod document;
mod early_exit;
mod environment;
mod exits;
mod figure;
mod flat;
mod frontier;
mod heat_map;
mod latency;
mod lettering;
mod model;
mod names;
mod overview;
mod palette;
mod published;
mod recipe;
mod reliability;
mod setting;
mod trial;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub use document::{Align, Block, Cell, Column, Document, Element, Highlight, Row, Table};
pub use figure::{Figure, Line, Mark, Plot, Range, Ticks};
pub use palette::{PALETTE, Palette};

use crate::error::{Error, Result};
use crate::evaluation::EvaluationRecord;
use crate::format::{csv, html, markdown, terminal};
use crate::run_folder::{self, Run};
use names::names;

/// A part of the report.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Name of its anchor in the page, unique among the sections.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Maps one run or several to what is shown; no elements, no section.
    pub build: fn(&[Run]) -> Result<Vec<Element>>,
}

/// The parts of a report, in order.
pub const SECTIONS: &[Section] = &[
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
    curves::SECTION,
    configuration::SECTION,
    environment::SECTION,
];

/// Runs that are named under the title; of more, the data sets are.
const NAMES_IN_LEAD: usize = 6;

fn datasets(runs: &[Run]) -> String {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.summary.dataset.as_str()).collect();
    format!("on {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// The report of one run or several.
///
/// # Errors
/// Where there is no run, or a figure cannot be drawn.
pub fn document(runs: &[Run]) -> Result<Document> {
    let (title, lead) = match runs {
        [] => return Err(Error::NoRuns),
        [run] => {
            let record = &run.summary;
            (record.name.clone(), format!("{} on {}", record.model, record.dataset))
        }
        runs => {
            // More names than a line holds say less than what they have in common.
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
    Ok(Document { title, lead, blocks })
}

/// The section of this name, whose `build` gives what a document quotes.
pub fn section(id: &str) -> Option<Section> {
    SECTIONS.iter().find(|section| section.id == id).copied()
}

/// What a terminal is told of an evaluation: every exit's scores, and early exit at the budgets.
pub fn evaluation_text(evaluation: &EvaluationRecord) -> String {
    let EvaluationRecord { split, images, weights, .. } = evaluation;
    let scores = terminal::render(&calibration::table(evaluation));
    let mut text = format!("{images} images of the {split} split, {weights}\n\n{scores}");
    if let Some(early) = &evaluation.early_exit {
        let chose = early.valid_images;
        text += &format!("\n\nearly exit, values chosen on {chose} validation images\n\n");
        text += &terminal::render(&early_exit::budgets(evaluation, early));
    }
    text
}

/// The exact numbers of the report, a row for each run and exit.
pub fn exact_table(runs: &[Run]) -> Table {
    flat::table(runs)
}

/// Where a report was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFiles {
    /// The whole report in one page.
    pub html: PathBuf,
    /// The report as Markdown.
    pub markdown: PathBuf,
    /// The numbers, a row for each run and exit.
    pub csv: PathBuf,
    /// The Markdown's figures.
    pub figures: Vec<PathBuf>,
}

impl ReportFiles {
    /// Every file, the page first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let tables = [&self.html, &self.markdown, &self.csv];
        tables.into_iter().chain(&self.figures).map(PathBuf::as_path)
    }
}

/// Writes the report of `runs` into the folder `out`, which is made if need be, as
/// `report.html`, `report.md` with its figures, and `report.csv`. An older report is replaced.
///
/// # Errors
/// Where there is no run, a figure cannot be drawn, or a file cannot be written.
pub fn write_report(runs: &[Run], out: &Path) -> Result<ReportFiles> {
    let document = document(runs)?;
    let figures_folder = out.join(run_folder::FIGURES);
    fs::create_dir_all(&figures_folder).map_err(Error::io(&figures_folder))?;
    let mut figures = Vec::new();
    for figure in document.figures() {
        let path = figures_folder.join(figure.file_name());
        run_folder::write_atomic(&path, figure.on_card().as_bytes())?;
        figures.push(path);
    }
    let files = ReportFiles {
        html: out.join(run_folder::REPORT_HTML),
        markdown: out.join(run_folder::REPORT_MARKDOWN),
        csv: out.join(run_folder::REPORT_CSV),
        figures,
    };
    run_folder::write_atomic(&files.csv, csv::render(&exact_table(runs))?.as_bytes())?;
    run_folder::write_atomic(&files.markdown, markdown::render(&document).as_bytes())?;
    run_folder::write_atomic(&files.html, html::render(&document)?.as_bytes())?;
    Ok(files)
}
