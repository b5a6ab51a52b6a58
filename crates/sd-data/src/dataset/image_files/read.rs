//! Listed image files, before they are opened.

use super::ImageFilesConfig;
use super::open::{Failure, Listing};
use crate::Result;
use crate::dataset::{Purpose, Splits};
use crate::image_set::{EpochOrder, ImageFile};
use crate::source::{Encoded, EncodedFiles, MAX_BYTES};
use crate::split::Split;
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file of a data set.
#[derive(Debug)]
pub(crate) struct ListedFile {
    /// Relative to the data set's folder, with `/` as separator.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) label: usize,
    /// Its line in the CSV file, from 1.
    pub(in crate::dataset) line: Option<u64>,
}

/// The files of each split.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) train: Vec<ListedFile>,
    pub(crate) valid: Option<Vec<ListedFile>>,
    pub(crate) test: Option<Vec<ListedFile>>,
}

/// The paths and lines of files that are read when they are needed.
#[derive(Debug)]
struct Paths(Vec<(PathBuf, Option<u64>)>);

impl EncodedFiles for Paths {
    fn bytes<'a>(
        &'a self,
        index: usize,
        bytes: &'a mut Vec<u8>,
    ) -> std::result::Result<&'a [u8], String> {
        bytes.clear();
        let file =
            File::open(&self.0[index].0).and_then(|file| file.take(MAX_BYTES).read_to_end(bytes));
        file.map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn place(&self, index: usize) -> (PathBuf, Option<u64>) {
        self.0[index].clone()
    }
}

impl ImageFilesConfig {
    /// Opens all images. Opens no file outside of `root`, which must be canonical, unless
    /// [`follow_links`](Self::follow_links) is set. `key` names the data set in errors, and `place`
    /// in the log.
    pub(in crate::dataset) fn read(
        &self,
        key: &str,
        place: &Path,
        root: &Path,
        files: Files,
        class_names: &[String],
        purpose: Purpose,
    ) -> Result<Splits> {
        let Files { train, valid, test } = files;
        let mut known = HashMap::new();
        let mut list = |split, files| (split, self.list(root, files, &mut known));
        let mut splits = vec![list(Split::Train, train)];
        splits.extend(valid.map(|files| list(Split::Valid, files)));
        splits.extend(test.map(|files| list(Split::Test, files)));
        self.open(key, place, splits, class_names, purpose)
    }

    /// Finds the files of a split. `known` holds the canonical path and the name of every file so far.
    fn list(
        &self,
        root: &Path,
        files: Vec<ListedFile>,
        known: &mut HashMap<PathBuf, String>,
    ) -> Listing<Paths> {
        let found: Vec<std::result::Result<(PathBuf, u64), String>> =
            files.par_iter().map(|file| self.locate(root, &file.path)).collect();
        let (mut labels, mut sizes, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        let mut failures = Vec::new();
        for (file, found) in files.into_iter().zip(found) {
            let ListedFile { name, path, label, line } = file;
            let bytes = found.as_ref().map_or(0, |&(_, bytes)| bytes);
            let once = found.and_then(|(real, _)| match known.insert(real, name.clone()) {
                Some(first) => Err(format!("the same file as `{first}`")),
                None => Ok(()),
            });
            failures.push(once.err().map(Failure::File));
            labels.push(label);
            sizes.push(ImageFile { name, bytes });
            paths.push((path, line));
        }
        let encoded = Encoded { files: Paths(paths), images: self.clone() };
        Listing { encoded, labels, files: sizes, failures, order: EpochOrder::default() }
    }

    /// The canonical form of `path`, if that is allowed, and the size of the file. A pipe or a device
    /// might never end.
    fn locate(&self, root: &Path, path: &Path) -> std::result::Result<(PathBuf, u64), String> {
        if path.strip_prefix(root).is_ok_and(|path| path.to_str().is_none()) {
            return Err("the name is not UTF-8".to_owned());
        }
        let real = path.canonicalize().map_err(|error| error.to_string())?;
        if !self.follow_links && !real.starts_with(root) {
            let (real, root) = (real.display(), root.display());
            return Err(format!(
                "links to `{real}`, outside of `{root}`; `follow_links = true` allows it"
            ));
        }
        let metadata = fs::metadata(&real).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("not a regular file".to_owned());
        }
        match metadata.len() {
            bytes if bytes > MAX_BYTES => {
                Err(format!("{bytes} bytes, expected at most {MAX_BYTES}"))
            }
            bytes => Ok((real, bytes)),
        }
    }
}
