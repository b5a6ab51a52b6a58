use std::path::{Path, PathBuf};

/// An error while reading a run or writing a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{path}: {cause}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        cause: std::io::Error,
    },
    /// The folder does not hold a run.
    #[error("{folder} is not a run: it has no {missing}", folder = folder.display())]
    NotARun {
        /// The folder.
        folder: PathBuf,
        /// Name of the missing file.
        missing: &'static str,
    },
    /// The run in the folder has not written its result.
    #[error(
        "{folder}: the run has not finished: it has no {missing}; wait for its next epoch, or resume it",
        folder = folder.display()
    )]
    NotFinished {
        /// The folder.
        folder: PathBuf,
        /// Name of the missing file.
        missing: &'static str,
    },
    /// A record has another schema version.
    #[error(
        "{path}: schema_version {found}, but this program reads {expected}",
        path = path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The supported version.
        expected: u32,
    },
    /// A record is malformed.
    #[error("{path}:{line}: {what}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line in it, from 1.
        line: usize,
        /// What is wrong: found and expected.
        what: String,
    },
    /// A record cannot be encoded as JSON.
    #[error("{path}: cannot be written as JSON: {cause}", path = path.display())]
    Encode {
        /// The file to write.
        path: PathBuf,
        /// The error of the encoder.
        cause: serde_json::Error,
    },
    /// A report without runs was requested.
    #[error("a report needs at least one run")]
    NoRuns,
    /// No run, exit and number format could be chosen.
    #[error("{0}")]
    Choice(String),
    /// A figure could not be drawn.
    #[error("figure {name}: {what}")]
    Figure {
        /// Name of the figure.
        name: String,
        /// The error of the drawing library.
        what: String,
    },
    /// The HTML page could not be rendered.
    #[error("the report page cannot be written")]
    Page(#[from] askama::Error),
    /// The CSV table could not be written.
    #[error("the report table cannot be written")]
    Csv(#[from] csv::Error),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An I/O error for `path`, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { path, cause }
    }
}
