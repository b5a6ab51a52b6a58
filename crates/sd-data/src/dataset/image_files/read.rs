//! Reading of listed image files.

use super::{BrokenFile, ImageFilesConfig, StorageConfig};
use crate::dataset::Splits;
use crate::image_set::ImageFile;
use crate::source::{Encoded, EncodedFiles, MAX_BYTES, Memory, Original, Reader, Source};
use crate::{Error, ImageSet, Result};
use image::{ImageError, ImageReader};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::{info, warn};

/// Broken images that `skip_broken` skips: a share of all files, or a few of a small data set.
const SKIPPED_SHARE: usize = 10;
const SKIPPED_FEW: usize = 10;
/// Number of files whose size is looked up to estimate that of all.
const MEASURED: usize = 200;

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

/// A split whose files were found, and read if they stay in memory.
struct Opened {
    labels: Vec<usize>,
    files: Vec<ImageFile>,
    /// Indices of the files without a failure.
    whole: Vec<usize>,
    /// The other files, and whether skipping is no remedy.
    broken: Vec<(bool, BrokenFile)>,
    source: Arc<dyn Source>,
}

impl ImageFilesConfig {
    /// Opens all images. Opens no file outside of `root`, which must be canonical, unless
    /// [`follow_links`](Self::follow_links) is set. `key` names the data set in errors, and `place`
    /// in the log. With `crops`, training images keep their own size.
    pub(in crate::dataset) fn read(
        &self,
        key: &str,
        place: &Path,
        root: &Path,
        files: Files,
        class_names: &[String],
        crops: bool,
    ) -> Result<Splits> {
        let Files { train, valid, test } = files;
        let all = [Some(&train), valid.as_ref(), test.as_ref()];
        let total = all.into_iter().flatten().map(Vec::len).sum();
        let in_memory = self.is_kept_in_memory(key, place, total, crops.then_some(&train[..]))?;
        let mut known = HashMap::new();
        let mut open = |files, crops| self.open_split(root, files, &mut known, in_memory, crops);
        let mut train = open(train, crops);
        let mut valid = valid.map(|files| open(files, false));
        let mut test = test.map(|files| open(files, false));
        let all = [Some(&mut train), valid.as_mut(), test.as_mut()].into_iter().flatten();
        let broken = all.flat_map(|opened| std::mem::take(&mut opened.broken)).collect();
        let skipped = self.skip(key, broken, total)?;
        let set = |opened: Opened| opened.set(self, class_names);
        let (valid, test) = (valid.map(set).transpose()?, test.map(set).transpose()?);
        Ok(Splits { train: set(train)?, valid, test, skipped })
    }

    /// Whether all images are decoded now; `originals` are the training images that keep their own size.
    fn is_kept_in_memory(
        &self,
        key: &str,
        place: &Path,
        files: usize,
        originals: Option<&[ListedFile]>,
    ) -> Result<bool> {
        let (side, place) = (self.side, place.display());
        let mut bytes = files.saturating_mul(self.shape().values());
        let mut images = format!("{files} images of {side}×{side} pixels");
        if self.storage == StorageConfig::Stream {
            info!("reading `{place}` as it is needed: {images}");
            return Ok(false);
        }
        if let Some(originals) = originals {
            bytes = bytes.saturating_add(self.bytes_of_originals(originals));
            images = format!("{images}, and the training images at their own size,");
        }
        match self.check_memory(key, &images, bytes) {
            Ok(()) => {
                info!("reading `{place}`: {images} need {:.1} MB of memory", bytes as f64 / 1e6)
            }
            Err(error) if self.storage == StorageConfig::Memory => return Err(error),
            Err(_) => {
                let (needed, most) = (bytes as f64 / 1e9, self.memory_gb);
                info!(
                    "reading `{place}` as it is needed: {images} need {needed:.1} GB of memory, and \
                     `memory_gb` is {most}"
                );
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Estimates the memory of images at their own size.
    fn bytes_of_originals(&self, files: &[ListedFile]) -> usize {
        let measured = files.iter().step_by(files.len().div_ceil(MEASURED).max(1));
        let sizes: Vec<usize> = measured
            .filter_map(|file| dimensions(&file.path).ok())
            .map(|(width, height)| {
                let shortest = width.min(height).max(1) as f64;
                let scale = self.crop_from.map_or(1.0, |from| (from as f64 / shortest).min(1.0));
                (3.0 * f64::from(width) * f64::from(height) * scale * scale) as usize
            })
            .collect();
        sizes.iter().sum::<usize>().saturating_mul(files.len()) / sizes.len().max(1)
    }

    /// Finds the files of a split, and reads what can be read of them: into memory, or for
    /// [`skip_broken`](Self::skip_broken). `known` holds the canonical path and the name of every file
    /// so far.
    fn open_split(
        &self,
        root: &Path,
        files: Vec<ListedFile>,
        known: &mut HashMap<PathBuf, String>,
        in_memory: bool,
        crops: bool,
    ) -> Opened {
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
        let mut memory = None;
        if in_memory {
            memory = Some(self.decode(&encoded, &mut failures, crops));
        } else if self.skip_broken {
            self.try_all(&encoded, &mut failures);
        }
        let (mut whole, mut broken) = (Vec::new(), Vec::new());
        for (index, failure) in failures.into_iter().enumerate() {
            let (other_fault, reason) = match failure {
                None => {
                    whole.push(index);
                    continue;
                }
                Some(Failure::Image(reason)) => (false, reason),
                Some(Failure::File(reason)) => (true, reason),
            };
            let (path, line) = encoded.files.place(index);
            broken.push((other_fault, BrokenFile { path, line, reason }));
        }
        let source: Arc<dyn Source> = match memory {
            Some(memory) => Arc::new(memory),
            None => Arc::new(encoded),
        };
        Opened { labels, files: sizes, whole, broken, source }
    }

    /// Reads the files without a failure into memory.
    fn decode(
        &self,
        encoded: &Encoded<Paths>,
        failures: &mut [Option<Failure>],
        crops: bool,
    ) -> Memory {
        let values = self.shape().values();
        let mut pixels = vec![0; failures.len() * values];
        let originals: Vec<Original> = pixels
            .par_chunks_exact_mut(values)
            .zip(&mut *failures)
            .enumerate()
            .map_init(Reader::default, |reader, (index, (target, failure))| {
                if failure.is_some() {
                    return Original::default();
                }
                let decoded = encoded.decode(index, reader, target, crops);
                decoded
                    .map_err(|reason| *failure = Some(Failure::Image(reason)))
                    .ok()
                    .flatten()
                    .unwrap_or_default()
            })
            .collect();
        Memory::new(self.shape(), pixels, if crops { originals } else { Vec::new() })
    }

    /// Decodes the files without a failure once, to find those that are broken.
    fn try_all(&self, encoded: &Encoded<Paths>, failures: &mut [Option<Failure>]) {
        let start = || (Reader::default(), vec![0; self.shape().values()]);
        failures.par_iter_mut().enumerate().filter(|(_, failure)| failure.is_none()).for_each_init(
            start,
            |(reader, target), (index, failure)| {
                *failure = encoded.decode(index, reader, target, false).err().map(Failure::Image);
            },
        );
    }

    /// The broken images that are skipped.
    fn skip(
        &self,
        key: &str,
        mut broken: Vec<(bool, BrokenFile)>,
        total: usize,
    ) -> Result<Vec<BrokenFile>> {
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

impl Opened {
    /// The images that can be read, in order.
    fn set(self, images: &ImageFilesConfig, class_names: &[String]) -> Result<ImageSet> {
        let Self { labels, files, whole, source, .. } = self;
        let set = ImageSet::of_source(images.shape(), source, labels, class_names.to_vec())?;
        let set = set.with_files(files);
        Ok(if whole.len() < set.len() { set.select(&whole) } else { set })
    }
}

/// Width and height of the image in a file, by its header.
pub(crate) fn dimensions(path: &Path) -> std::result::Result<(u32, u32), String> {
    let file = crate::dataset::open_regular(path).map_err(|error| error.to_string())?;
    let reader = ImageReader::new(BufReader::new(file)).with_guessed_format();
    let size = reader.map_err(ImageError::from).and_then(ImageReader::into_dimensions);
    size.map_err(|error| error.to_string())
}
