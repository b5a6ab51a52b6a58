//! Reading of listed image files.

use super::{BrokenFile, ImageFilesConfig};
use crate::dataset::Splits;
use crate::{Error, ImageSet, Result};
use rayon::prelude::*;
use sd_image::{Bounds, Resizer, decode, fit};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tracing::warn;

/// Maximum bytes of a file and of its decoded image: 89 megapixels of RGB.
const MAX_BYTES: u64 = 256 << 20;
const BOUNDS: Bounds = Bounds { bytes: MAX_BYTES, side: u32::MAX, pixels: u64::MAX };

/// Broken images that `skip_broken` skips: a share of all files, or a few of a small data set.
const SKIPPED_SHARE: usize = 10;
const SKIPPED_FEW: usize = 10;

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

/// Why a file was not read.
enum Failure {
    /// Its content is no image.
    Image(String),
    /// It is missing, linked, listed twice, or no regular file.
    File(String),
}

/// A split being read.
struct Reading {
    files: Vec<ListedFile>,
    pixels: Vec<u8>,
    failures: Vec<Option<Failure>>,
}

impl ImageFilesConfig {
    /// Reads all images. Opens no file outside of `root`, which must be canonical, unless
    /// [`follow_links`](Self::follow_links) is set. `key` names the data set in errors, and `place`
    /// in the log.
    pub(in crate::dataset) fn read(
        &self,
        key: &str,
        place: &Path,
        root: &Path,
        files: Files,
        class_names: &[String],
    ) -> Result<Splits> {
        let Files { train, valid, test } = files;
        let all = [Some(&train), valid.as_ref(), test.as_ref()];
        let total = all.into_iter().flatten().map(Vec::len).sum();
        self.check_memory(key, place, total)?;
        let mut known = HashMap::new();
        let mut read = |files| self.read_split(root, files, &mut known);
        let (train, valid, test) = (read(train), valid.map(&mut read), test.map(&mut read));
        let all = [Some(&train), valid.as_ref(), test.as_ref()];
        let skipped = self.skip(key, all.into_iter().flatten(), total)?;
        let set = |reading| self.set(reading, class_names);
        let (valid, test) = (valid.map(set).transpose()?, test.map(set).transpose()?);
        Ok(Splits { train: set(train)?, valid, test, skipped })
    }

    /// Reads what can be read of a split. `known` holds the canonical path and the name of every file
    /// so far.
    fn read_split(
        &self,
        root: &Path,
        files: Vec<ListedFile>,
        known: &mut HashMap<PathBuf, String>,
    ) -> Reading {
        let found: Vec<std::result::Result<PathBuf, String>> =
            files.par_iter().map(|file| self.locate(root, &file.path)).collect();
        let once = |(found, file): (std::result::Result<PathBuf, String>, &ListedFile)| {
            let path = found?;
            match known.insert(path.clone(), file.name.clone()) {
                Some(first) => Err(format!("the same file as `{first}`")),
                None => Ok(path),
            }
        };
        let found: Vec<_> = found.into_iter().zip(&files).map(once).collect();
        let values = self.shape().values();
        let mut pixels = vec![0; files.len() * values];
        let failures = pixels
            .par_chunks_exact_mut(values)
            .zip(found)
            .map_init(Resizer::new, |resizer, (target, found)| {
                let read = found.map_err(Failure::File);
                read.and_then(|path| self.read_into(&path, resizer, target)).err()
            })
            .collect();
        Reading { files, pixels, failures }
    }

    /// The broken images that are skipped.
    fn skip<'a>(
        &self,
        key: &str,
        splits: impl Iterator<Item = &'a Reading>,
        total: usize,
    ) -> Result<Vec<BrokenFile>> {
        let mut broken = Vec::new();
        for Reading { files, failures, .. } in splits {
            for (file, failure) in files.iter().zip(failures) {
                let (other_fault, reason) = match failure {
                    None => continue,
                    Some(Failure::Image(reason)) => (false, reason.clone()),
                    Some(Failure::File(reason)) => (true, reason.clone()),
                };
                let (path, line) = (file.path.clone(), file.line);
                broken.push((other_fault, BrokenFile { path, line, reason }));
            }
        }
        let key = format!("{key}.images.skip_broken");
        let most = (total / SKIPPED_SHARE).max(SKIPPED_FEW);
        let others = broken.iter().filter(|(other_fault, _)| *other_fault).count();
        let images = broken.len() - others;
        let advice = if broken.is_empty() {
            None
        } else if !self.skip_broken && images > 0 {
            Some(format!("repair or remove them, or set `{key}` to true to skip broken images"))
        } else if others > 0 {
            broken.retain(|(other_fault, _)| *other_fault);
            Some("repair or remove them; they are not skipped as broken images are".to_owned())
        } else if images > most {
            Some(format!("repair or remove them: `{key}` skips at most {most} of {total} files"))
        } else {
            None
        };
        let files: Vec<BrokenFile> = broken.into_iter().map(|(_, file)| file).collect();
        if let Some(advice) = advice {
            return Err(Error::Broken { files, total, advice });
        }
        files.iter().for_each(|file| warn!("skipped {file}"));
        Ok(files)
    }

    /// The images that were read, in order.
    fn set(&self, reading: Reading, class_names: &[String]) -> Result<ImageSet> {
        let Reading { files, pixels, failures } = reading;
        let labels = files.iter().map(|file| file.label).collect();
        let mut set = ImageSet::new(self.shape(), pixels, labels, class_names.to_vec())?;
        set.files = files.into_iter().map(|file| file.name).collect();
        let whole = (0..set.len()).filter(|&index| failures[index].is_none());
        set.keep(&whole.collect::<Vec<usize>>());
        Ok(set)
    }

    /// The canonical form of `path`, if that is allowed.
    fn locate(&self, root: &Path, path: &Path) -> std::result::Result<PathBuf, String> {
        if path.strip_prefix(root).is_ok_and(|path| path.to_str().is_none()) {
            return Err("the name is not UTF-8".to_owned());
        }
        let real = path.canonicalize().map_err(|error| error.to_string())?;
        if self.follow_links || real.starts_with(root) {
            return Ok(real);
        }
        let (real, root) = (real.display(), root.display());
        Err(format!("links to `{real}`, outside of `{root}`; `follow_links = true` allows it"))
    }

    fn read_into(
        &self,
        path: &Path,
        resizer: &mut Resizer,
        target: &mut [u8],
    ) -> std::result::Result<(), Failure> {
        let bytes = read(path).map_err(Failure::File)?;
        let image = decode(&bytes, BOUNDS).map_err(|error| Failure::Image(error.to_string()))?;
        fit(&image.into_rgb8(), self.resized_side(), self.side, resizer, target);
        Ok(())
    }
}

/// Reads a regular file of bounded size: a pipe or a device might never end.
fn read(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{} bytes, expected at most {MAX_BYTES}", metadata.len()));
    }
    fs::read(path).map_err(|error| error.to_string())
}
