use std::path::{Path, PathBuf};

/// What can go wrong while a run is read or a report written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder does not hold a run.
    #[error("{folder} is not a run: it has no {missing}", folder = folder.display())]
    NotARun {
        /// The folder.
        folder: PathBuf,
        /// Name of the file that every run has.
        missing: &'static str,
    },
    /// The folder holds a run that has not written its result.
    #[error(
        "{folder}: the run has not finished: it has no {missing}; let it end, or resume it",
        folder = folder.display()
    )]
    NotFinished {
        /// The folder.
        folder: PathBuf,
        /// Name of the file that a run writes when it ends.
        missing: &'static str,
    },
    /// A record was written by a program with other records.
    #[error(
        "{path}: schema_version {found}, but this program reads {expected}",
        path = path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that this program reads.
        expected: u32,
    },
    /// A record is not what it should be.
    #[error("{path}:{line}: {what}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line in it, from 1.
        line: usize,
        /// What was found and what was expected.
        what: String,
    },
    /// A record could not be turned into JSON.
    #[error("{path}: cannot be written as JSON: {source}", path = path.display())]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// What the encoder said.
        source: serde_json::Error,
    },
    /// A report of no run at all was asked for.
    #[error("a report needs at least one run")]
    NoRuns,
    /// A figure could not be drawn.
    #[error("figure {name}: {what}")]
    Figure {
        /// Name of the figure.
        name: String,
        /// What the drawing library said.
        what: String,
    },
    /// The page could not be filled in.
    #[error("the report's page: {0}")]
    Page(#[from] askama::Error),
    /// The table could not be written.
    #[error("the report's table: {0}")]
    Csv(#[from] csv::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the system on `path`, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
