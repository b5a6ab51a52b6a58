//! The errors of this crate.

use crate::BrokenFile;
use std::fmt::Write;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Messages name the file, key or value, what was found and what was
/// expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data set is not in the data folder.
    #[error("no {name} in `{folder}`: expected {expected}; {advice}", folder = .folder.display())]
    Missing {
        /// Display name of the data set.
        name: String,
        /// The folder that was searched.
        folder: PathBuf,
        /// The folders or files that were expected.
        expected: String,
        /// How to get them.
        advice: String,
    },

    /// An archive lacks a file that belongs to the data set.
    #[error("`{archive}` holds no `{member}`", archive = .archive.display())]
    MissingMember {
        /// The archive.
        archive: PathBuf,
        /// The path inside the archive.
        member: String,
    },

    /// A file could not be read.
    #[error("cannot read `{path}`: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },

    /// A file could not be written.
    #[error("cannot write `{path}`: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },

    /// A file does not follow its format.
    #[error(
        "`{path}` at byte {offset}: found {found}, expected {expected}",
        path = .path.display()
    )]
    Malformed {
        /// The file; inside an archive, the archive's path followed by the member's.
        path: PathBuf,
        /// Byte offset in the decompressed file.
        offset: u64,
        /// What was found.
        found: String,
        /// What the format expects.
        expected: String,
    },

    /// A folder does not have the layout of a data set.
    #[error("`{path}`: found {found}, expected {expected}", path = .path.display())]
    Folder {
        /// The folder, or an entry of it.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },

    /// A line of a text file does not follow the format.
    #[error("`{path}` line {line}: found {found}, expected {expected}", path = .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: u64,
        /// What was found.
        found: String,
        /// What the format expects.
        expected: String,
    },

    /// Files of a data set cannot be read as images.
    #[error("{}", broken(.files, *.total, .key))]
    Broken {
        /// The unreadable files.
        files: Vec<BrokenFile>,
        /// Number of files read.
        total: usize,
        /// The configuration key that skips them.
        key: String,
    },

    /// A configuration value is out of range or contradicts another.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The dotted key.
        key: String,
        /// The value.
        found: String,
        /// What was expected.
        expected: String,
    },

    /// The parts of an image set are inconsistent.
    #[error("image set: found {found}, expected {expected}")]
    ImageSet {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },

    /// The operating system refused to start the loader's threads.
    #[error("cannot start {threads} threads to load images: {reason}")]
    Threads {
        /// Number of threads requested.
        threads: usize,
        /// The cause.
        reason: String,
    },

    /// No source could provide the data set.
    #[cfg(feature = "fetch")]
    #[error("cannot fetch {name}:\n{}\n{advice}", .reasons.join("\n"))]
    Fetch {
        /// The data set.
        name: String,
        /// The failure of each source.
        reasons: Vec<String>,
        /// What to do about it.
        advice: String,
    },

    /// A source could not provide a file.
    #[cfg(feature = "fetch")]
    #[error("{origin}: {reason}")]
    Source {
        /// The address or folder.
        origin: String,
        /// The cause.
        reason: String,
    },

    /// A file differs from the published one.
    #[cfg(feature = "fetch")]
    #[error("`{path}` has {found}, expected {expected}; {advice}", path = .path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: String,
        /// The published checksum.
        expected: String,
        /// What was done, or what to do about it.
        advice: String,
    },
}

impl Error {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn value(
        key: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Value { key: key.into(), found: found.to_string(), expected: expected.into() }
    }
}

/// Broken files listed in a message; the rest are only counted.
const NAMED: usize = 20;

fn broken(files: &[BrokenFile], total: usize, key: &str) -> String {
    let mut message = format!("{} of {total} files cannot be read as images:\n", files.len());
    for file in files.iter().take(NAMED) {
        let _ = writeln!(message, "  {file}");
    }
    if files.len() > NAMED {
        let _ = writeln!(message, "  and {} more", files.len() - NAMED);
    }
    message + &format!("repair or remove them, or set `{key}` to true to skip them")
}
