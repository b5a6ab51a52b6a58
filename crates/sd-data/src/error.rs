//! What can go wrong between a file and a batch.

use crate::BrokenFile;
use std::fmt::Write;
use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong here. A message names the file, key or value, what was found and
/// what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A data set is not in the data folder.
    #[error("no {name} in `{folder}`: expected {expected}; {advice}", folder = .folder.display())]
    Missing {
        /// The data set as people call it.
        name: String,
        /// The folder that was searched.
        folder: PathBuf,
        /// The folders or files that would have done.
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
        /// Why not.
        source: std::io::Error,
    },

    /// A file could not be written.
    #[error("cannot write `{path}`: {source}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// A file is not what its format says.
    #[error(
        "`{path}` at byte {offset}: found {found}, expected {expected}",
        path = .path.display()
    )]
    Malformed {
        /// The file; inside an archive, the archive's path followed by the member's.
        path: PathBuf,
        /// Where in the file (after decompression), in bytes from its beginning.
        offset: u64,
        /// What is there.
        found: String,
        /// What the format has there.
        expected: String,
    },

    /// A folder has not what a data set has there.
    #[error("`{path}`: found {found}, expected {expected}", path = .path.display())]
    Folder {
        /// The folder, or what is in it.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would be accepted.
        expected: String,
    },

    /// A line of a text file is not what its format says.
    #[error("`{path}` line {line}: found {found}, expected {expected}", path = .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is there.
        found: String,
        /// What the format has there.
        expected: String,
    },

    /// Files of a data set are no images that can be read.
    #[error("{}", broken(.files, *.total, .key))]
    Broken {
        /// All of them.
        files: Vec<BrokenFile>,
        /// How many files there are with them.
        total: usize,
        /// The key that lets them be left out.
        key: String,
    },

    /// A value of a configuration is out of its range, or does not fit another.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The key, with dots.
        key: String,
        /// The value.
        found: String,
        /// What would be accepted.
        expected: String,
    },

    /// The parts of an image set do not fit each other.
    #[error("an image set with {found}, expected {expected}")]
    ImageSet {
        /// What was given.
        found: String,
        /// What would fit.
        expected: String,
    },

    /// The operating system refused the loader's threads.
    #[error("cannot start {threads} threads to load images: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },

    /// A download could not be finished from any source.
    #[cfg(feature = "fetch")]
    #[error("cannot fetch {name}:\n{}\n{advice}", .reasons.join("\n"))]
    Fetch {
        /// The data set.
        name: String,
        /// What each source said, a line each.
        reasons: Vec<String>,
        /// What a person can do.
        advice: String,
    },

    /// One source could not give one file.
    #[cfg(feature = "fetch")]
    #[error("{origin}: {reason}")]
    Source {
        /// The address or folder.
        origin: String,
        /// What happened.
        reason: String,
    },

    /// A file has another content than the one that was published.
    #[cfg(feature = "fetch")]
    #[error("`{path}` has {found}, expected {expected}; {advice}", path = .path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its sum.
        found: String,
        /// The published sum.
        expected: String,
        /// What was done about it, or what to do.
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

/// Broken files that a message names; the rest are counted.
const NAMED: usize = 20;

fn broken(files: &[BrokenFile], total: usize, key: &str) -> String {
    let mut message = format!("{} of {total} files cannot be read as images:\n", files.len());
    for file in files.iter().take(NAMED) {
        let _ = writeln!(message, "  {file}");
    }
    if files.len() > NAMED {
        let _ = writeln!(message, "  and {} more", files.len() - NAMED);
    }
    message + &format!("mend or remove them, or set `{key}` to true to leave them out")
}
