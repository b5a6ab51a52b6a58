//! Packed data sets: all images in one file, which is mapped into memory, as pixels, as their files, or as
//! resized JPEG files.
//!
//! A file begins with eight bytes that name the format. The images follow, then an index as JSON, and at
//! the end the index's offset, length and CRC-32, and the eight bytes again. Each image has a checksum of
//! its own, which is compared when the image is first read.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod index;
mod mapped;
mod write;

pub use write::{PackForm, Packed, pack};

use crate::dataset::check_classes;
use crate::source::{Encoded, Source};
use crate::split::Split;
use crate::{Error, ImageFilesConfig, ImageSet, Result, Splits};
use index::{Index, PackedSplit, Settings};
pub(crate) use mapped::Pack;
use mapped::{PackedFiles, PackedPixels};
use std::sync::Arc;
use tracing::info;

const MAGIC: &[u8; 8] = b"SDPACK1\n";

/// The splits of a packed data set. `key` names the data set in errors, and `name` in records; with
/// `crops`, a file of pixels must contain those for crops.
///
/// # Errors
/// If the file is damaged, or was packed from another data set or with other settings.
pub(crate) fn splits(
    pack: Pack,
    key: &str,
    name: &str,
    classes: usize,
    images: &ImageFilesConfig,
    crops: bool,
) -> Result<Splits> {
    let pack = Arc::new(pack);
    let path = pack.path();
    let Index { settings, class_names, splits, skipped } = pack.index()?;
    settings.check(path, name, images, crops)?;
    check_classes(key, classes, &class_names, path)?;
    if !skipped.is_empty() && !images.skip_broken {
        let found = format!("images without {} broken files", skipped.len());
        return Err(Error::folder(path, found, format!("`{key}.images.skip_broken = true`")));
    }
    let count: usize = splits.iter().map(|split| split.images.len()).sum();
    info!(
        "opened `{}`: {count} images of `{name}` as they were when it was packed",
        path.display()
    );
    let mut sets = splits
        .into_iter()
        .map(|split| {
            let name = split.split;
            Ok((name, open_split(&pack, &settings, split, images, &class_names)?))
        })
        .collect::<Result<Vec<(Split, ImageSet)>>>()?;
    let mut take = |wanted| {
        let at = sets.iter().position(|(split, _)| *split == wanted)?;
        Some(sets.swap_remove(at).1)
    };
    let train = take(Split::Train);
    let train = train.ok_or_else(|| Error::folder(path, "no training images", "a packed file"))?;
    Ok(Splits { train, valid: take(Split::Valid), test: take(Split::Test), skipped })
}

fn open_split(
    pack: &Arc<Pack>,
    settings: &Settings,
    split: PackedSplit,
    images: &ImageFilesConfig,
    class_names: &[String],
) -> Result<ImageSet> {
    let PackedSplit { images: entries, order, .. } = split;
    let labels = entries.iter().map(|entry| entry.label).collect();
    let files = entries.iter().map(|entry| entry.file.clone()).collect();
    pack.check(&entries, settings, class_names.len())?;
    if !order.fits(entries.len()) {
        let expected = format!("shard numbers of {} images", entries.len());
        return Err(Error::folder(pack.path(), "those of another number of images", expected));
    }
    let pack = Arc::clone(pack);
    let source: Arc<dyn Source> = match settings.form {
        PackForm::Pixels => Arc::new(PackedPixels::new(pack, entries, images.shape())),
        PackForm::Files | PackForm::Jpeg(_) => {
            let files = PackedFiles::new(pack, entries);
            Arc::new(Encoded { files, images: images.clone() })
        }
    };
    let set = ImageSet::of_source(images.shape(), source, labels, class_names.to_vec())?;
    Ok(set.with_files(files).with_order(order))
}
