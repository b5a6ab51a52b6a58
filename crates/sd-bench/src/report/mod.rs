//! From records to a report.
//!
//! A report is a [`Document`]: sections of [`Element`]s, which know nothing of HTML or
//! Markdown. Each section is one file of this folder that maps the runs to elements, and one
//! line of [`SECTIONS`].

mod axis;
mod best_epoch;
mod configuration;
mod costs;
mod curves;
mod document;
mod environment;
mod exits;
mod figure;
mod flat;
mod overview;
mod palette;

use std::fs;
use std::path::{Path, PathBuf};

pub use document::{Align, Block, Cell, Column, Document, Element, Highlight, Row, Table};
pub use figure::{Figure, Line, Plot, Ticks};
pub use palette::{PALETTE, Palette};

use crate::error::{Error, Result};
use crate::format::{csv, html, markdown};
use crate::run_folder::{self, Run};

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
    exits::SECTION,
    costs::SECTION,
    best_epoch::SECTION,
    curves::SECTION,
    configuration::SECTION,
    environment::SECTION,
];

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
        runs => (format!("{} runs", runs.len()), names(runs).join(", ")),
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

/// A name for each run that tells it from the others: the experiment's, with the seed and then
/// the folder where that is needed.
fn names(runs: &[Run]) -> Vec<String> {
    let tries: [fn(&Run) -> String; 3] = [
        |run| run.summary.name.clone(),
        |run| format!("{} (seed {})", run.summary.name, run.summary.seed),
        |run| {
            let folder = run.folder.file_name().unwrap_or(run.folder.as_os_str());
            let folder = folder.to_string_lossy();
            format!("{} (seed {}, {folder})", run.summary.name, run.summary.seed)
        },
    ];
    let name = |run: &Run| {
        let alone = |name: &&fn(&Run) -> String| {
            runs.iter().filter(|other| name(other) == name(run)).count() == 1
        };
        tries.iter().find(alone).map_or_else(|| run.folder.display().to_string(), |name| name(run))
    };
    runs.iter().map(name).collect()
}
