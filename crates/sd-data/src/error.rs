//! The errors of this crate.

use crate::BrokenFile;
use crate::split::Split;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Messages name the file, key or value, what was found and what was
/// expected. They include the cause, so that no error has a `source`, which would print it again.
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
    #[error("cannot read `{path}`: {cause}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },

    /// A file could not be written.
    #[error("cannot write `{path}`: {cause}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },

    /// A file, folder or image set does not follow its format.
    #[error("{place}: found {found}, expected {expected}")]
    Malformed {
        /// The path with the byte offset in the decompressed file or the line number, or the part of
        /// an image set.
        place: String,
        /// What was found.
        found: String,
        /// What the format expects.
        expected: String,
    },

    /// Files of a data set cannot be read as images.
    #[error("{}", broken(.files, *.total, .advice))]
    Broken {
        /// The unreadable files.
        files: Vec<BrokenFile>,
        /// Number of files of the data set.
        total: usize,
        /// What to do about them.
        advice: String,
    },

    /// A file turned out not to be readable as an image, after the data set was opened.
    #[error("cannot read an image of the data set: {0}")]
    Image(BrokenFile),

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

    /// The machine has not enough memory.
    #[error("{what} need {needed} of memory, but {available} are available; {advice}")]
    Memory {
        /// What needs it, in the plural.
        what: String,
        /// Needed memory.
        needed: String,
        /// Available memory.
        available: String,
        /// How to need less.
        advice: String,
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
    /// A malformed folder or a malformed entry of it.
    pub(crate) fn folder(path: &Path, found: impl ToString, expected: impl ToString) -> Self {
        Self::malformed(format!("`{}`", path.display()), found, expected)
    }

    /// A binary file that is malformed at a byte of its decompressed form. In an archive, `path` is
    /// the archive's path followed by the member's.
    pub(crate) fn at_byte(
        path: &Path,
        offset: u64,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        Self::malformed(format!("`{}` at byte {offset}", path.display()), found, expected)
    }

    /// A text file that is malformed at a line, counted from 1.
    pub(crate) fn at_line(
        path: &Path,
        line: u64,
        found: impl ToString,
        expected: impl ToString,
    ) -> Self {
        Self::malformed(format!("`{}` line {line}", path.display()), found, expected)
    }

    /// A split that cannot be used.
    pub(crate) fn split(split: Split, found: impl ToString, expected: impl ToString) -> Self {
        Self::malformed(format!("the split `{split}`"), found, expected)
    }

    /// Inconsistent parts of an image set.
    pub(crate) fn image_set(found: impl ToString, expected: impl ToString) -> Self {
        Self::malformed("image set".to_owned(), found, expected)
    }

    fn malformed(place: String, found: impl ToString, expected: impl ToString) -> Self {
        Self::Malformed { place, found: found.to_string(), expected: expected.to_string() }
    }

    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Read { path, cause }
    }

    pub(crate) fn value(key: impl ToString, found: impl ToString, expected: impl ToString) -> Self {
        let (key, found, expected) = (key.to_string(), found.to_string(), expected.to_string());
        Self::Value { key, found, expected }
    }
}

/// Broken files listed in a message; the rest are only counted.
const NAMED: usize = 20;

fn broken(files: &[BrokenFile], total: usize, advice: &str) -> String {
    let mut message = format!("{} of {total} files cannot be read as images:\n", files.len());
    for file in files.iter().take(NAMED) {
        let _ = writeln!(message, "  {file}");
    }
    if files.len() > NAMED {
        let _ = writeln!(message, "  and {} more", files.len() - NAMED);
    }
    message + advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_printed_once() {
        let cause = std::io::Error::other("on fire");
        let error = Error::read("a.png")(cause);
        assert_eq!(error.to_string(), "cannot read `a.png`: on fire");
        assert!(std::error::Error::source(&error).is_none());
    }
}
