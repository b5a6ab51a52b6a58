//! Writing a report into a folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::{csv, html, markdown};
use crate::report::{document, exact_table};
use crate::run_folder::{self, Run};

/// The files of a written report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFiles {
    /// The whole report as one page.
    pub html: PathBuf,
    /// The report as Markdown.
    pub markdown: PathBuf,
    /// The exact numbers, one row per run and exit.
    pub csv: PathBuf,
    /// The figures of the Markdown report.
    pub figures: Vec<PathBuf>,
}

impl ReportFiles {
    /// Returns every file, the page first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let tables = [&self.html, &self.markdown, &self.csv];
        tables.into_iter().chain(&self.figures).map(PathBuf::as_path)
    }
}

/// Writes only the page of the report of `runs` into the folder `out`, which exists, and returns its
/// path. The page of a run that is [training](crate::Status::Running) reloads itself.
///
/// # Errors
/// If there is no run, a figure cannot be drawn, or the file cannot be written.
pub fn write_page(runs: &[Run], out: &Path) -> Result<PathBuf> {
    let path = out.join(run_folder::REPORT_HTML);
    run_folder::write_atomic(&path, html::render(&document(runs)?)?.as_bytes())?;
    Ok(path)
}

/// Writes the report of `runs` into the folder `out`: `report.html`, `report.md` with its figures,
/// and `report.csv`. Creates the folder if needed and replaces an older report, with all `*.svg` in
/// its folder of figures.
///
/// # Errors
/// If there is no run, a figure cannot be drawn, or a file cannot be written.
pub fn write_report(runs: &[Run], out: &Path) -> Result<ReportFiles> {
    let document = document(runs)?;
    let figures_folder = out.join(run_folder::FIGURES);
    fs::create_dir_all(&figures_folder).map_err(Error::io(&figures_folder))?;
    let mut figures = Vec::new();
    for figure in document.figures() {
        let path = figures_folder.join(figure.file_name());
        run_folder::write_atomic(&path, figure.with_background().as_bytes())?;
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
    // Last, so that no older report lacks its figures.
    remove_other_figures(&figures_folder, &files.figures)?;
    Ok(files)
}

/// Removes the figures of an older report.
fn remove_other_figures(folder: &Path, kept: &[PathBuf]) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "svg") && !kept.contains(&path) {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}
