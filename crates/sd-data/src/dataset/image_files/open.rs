//! Opening of image files: into memory, or to be decoded when they are needed.

use super::{BrokenFile, ImageFilesConfig, StorageConfig};
use crate::dataset::{Purpose, Splits};
use crate::image_set::{EpochOrder, ImageFile};
use crate::source::{Encoded, EncodedFiles, Memory, Original, Reader, Source};
use crate::split::Split;
use crate::{Error, ImageSet, Result};
use image::{ImageError, ImageReader};
use rayon::prelude::*;
use std::io::{BufRead, Cursor, Seek};
use std::path::Path;
use std::sync::Arc;
use tracing::{info, warn};

/// Broken images that `skip_broken` skips: a share of all files, or a few of a small data set.
const SKIPPED_SHARE: usize = 10;
const SKIPPED_FEW: usize = 10;
/// Number of files whose size is looked up to estimate that of all.
const MEASURED: usize = 200;

/// Why a file was not read.
pub(in crate::dataset) enum Failure {
    /// Its content is no image.
    Image(String),
    /// It is missing, linked, listed twice, or no regular file.
    File(String),
}

/// A split whose files were found.
pub(in crate::dataset) struct Listing<F> {
    pub(in crate::dataset) encoded: Encoded<F>,
    pub(in crate::dataset) labels: Vec<usize>,
    pub(in crate::dataset) files: Vec<ImageFile>,
    /// Why a file was not found.
    pub(in crate::dataset) failures: Vec<Option<Failure>>,
    pub(in crate::dataset) order: EpochOrder,
}

/// A split whose files were read, if they stay in memory or must not be broken.
struct Opened {
    labels: Vec<usize>,
    files: Vec<ImageFile>,
    /// Indices of the files without a failure.
    whole: Vec<usize>,
    /// The other files, and whether skipping is no remedy.
    broken: Vec<(bool, BrokenFile)>,
    source: Arc<dyn Source>,
    order: EpochOrder,
}

impl ImageFilesConfig {
    /// Opens the images of these splits, the first of which is `train`. `key` names the data set in
    /// errors, and `place` in the log.
    pub(in crate::dataset) fn open<F: EncodedFiles + 'static>(
        &self,
        key: &str,
        place: &Path,
        splits: Vec<(Split, Listing<F>)>,
        class_names: &[String],
        purpose: Purpose,
    ) -> Result<Splits> {
        let total = splits.iter().map(|(_, listing)| listing.files.len()).sum();
        let crops = purpose == Purpose::Crops;
        let in_memory = purpose != Purpose::Packing
            && self.is_kept_in_memory(key, place, total, crops.then_some(&splits[0].1))?;
        let mut broken = Vec::new();
        let mut sets = Vec::new();
        for (split, listing) in splits {
            let mut opened = self.open_split(listing, in_memory, crops && split == Split::Train);
            broken.append(&mut opened.broken);
            sets.push((split, opened));
        }
        let skipped = self.skip(key, broken, total)?;
        let mut set = |wanted| {
            let at = sets.iter().position(|(split, _)| *split == wanted)?;
            Some(sets.swap_remove(at).1.set(self, class_names))
        };
        let train = set(Split::Train).expect("there is always a training split")?;
        let (valid, test) = (set(Split::Valid).transpose()?, set(Split::Test).transpose()?);
        Ok(Splits { train, valid, test, skipped })
    }

    /// Whether all images are decoded now; `originals` are those that keep their own size.
    fn is_kept_in_memory<F: EncodedFiles>(
        &self,
        key: &str,
        place: &Path,
        files: usize,
        originals: Option<&Listing<F>>,
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
            Err(error) => {
                info!("reading `{place}` as it is needed: {error}");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Estimates the memory of images at their own size.
    fn bytes_of_originals<F: EncodedFiles>(&self, listing: &Listing<F>) -> usize {
        let Listing { encoded, failures, .. } = listing;
        let (count, mut bytes) = (failures.len(), Vec::new());
        let mut sizes = Vec::new();
        // A file that was refused, such as a pipe, must not be opened.
        let found = (0..count).step_by(count.div_ceil(MEASURED).max(1));
        for index in found.filter(|&index| failures[index].is_none()) {
            let Ok(bytes) = encoded.files.bytes(index, &mut bytes) else { continue };
            let Ok((width, height)) = dimensions(Cursor::new(bytes)) else { continue };
            let shortest = width.min(height).max(1) as f64;
            let scale = self.crop_from.map_or(1.0, |from| (from as f64 / shortest).min(1.0));
            sizes.push((3.0 * f64::from(width) * f64::from(height) * scale * scale) as usize);
        }
        sizes.iter().sum::<usize>().saturating_mul(count) / sizes.len().max(1)
    }

    fn open_split<F: EncodedFiles + 'static>(
        &self,
        listing: Listing<F>,
        in_memory: bool,
        crops: bool,
    ) -> Opened {
        let Listing { encoded, labels, files, mut failures, order } = listing;
        let mut memory = None;
        if in_memory {
            memory = Some(self.decode_all(&encoded, &mut failures, crops));
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
        Opened { labels, files, whole, broken, source, order }
    }

    /// Reads the files without a failure into memory.
    fn decode_all<F: EncodedFiles>(
        &self,
        encoded: &Encoded<F>,
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
    fn try_all<F: EncodedFiles>(&self, encoded: &Encoded<F>, failures: &mut [Option<Failure>]) {
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
}

impl Opened {
    /// The images that can be read, in order.
    fn set(self, images: &ImageFilesConfig, class_names: &[String]) -> Result<ImageSet> {
        let Self { labels, files, whole, source, order, .. } = self;
        let set = ImageSet::of_source(images.shape(), source, labels, class_names.to_vec())?;
        let set = set.with_files(files).with_order(order);
        Ok(if whole.len() < set.len() { set.select(&whole) } else { set })
    }
}

/// Width and height of the image in a file, by its header.
pub(crate) fn dimensions(file: impl BufRead + Seek) -> std::result::Result<(u32, u32), String> {
    let reader = ImageReader::new(file).with_guessed_format();
    let size = reader.map_err(ImageError::from).and_then(ImageReader::into_dimensions);
    size.map_err(|error| error.to_string())
}
