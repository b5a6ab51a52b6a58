//! Writing of packed files.

use super::MAGIC;
use super::index::{Entry, Index, PackedSplit, Settings};
use crate::dataset::Purpose;
use crate::image_set::ImageFile;
use crate::source::{BOUNDS, Reader, View};
use crate::split::Split;
use crate::{BrokenFile, DataConfig, Error, ImageFilesConfig, ImageSet, Result};
use atomic_write_file::AtomicWriteFile;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use sd_image::{Resizer, decode_rgb, shrink};
use serde::{Deserialize, Serialize};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Images that are decoded before they are written.
const CHUNK: usize = 64;

/// How images are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackForm {
    /// As pixels: read without decoding.
    Pixels,
    /// As their files: smaller, and decoded each time.
    Files,
    /// As JPEG files of this quality, 1 to 100: smaller still. An image whose shorter side exceeds the
    /// larger of `shorter_side` and `crop_from` is resized to it. Batches differ from those of the files.
    Jpeg(u8),
}

/// A file that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Number of images.
    pub images: usize,
    /// Size of the file.
    pub bytes: u64,
}

/// Packs the image files of a configuration into the file `path`, whole or not at all. They are read from
/// their files whatever the configured storage.
///
/// # Errors
/// If the data set does not consist of image files, a file cannot be read, or the file cannot be written.
pub fn pack(config: &DataConfig, data_dir: &Path, path: &Path, form: PackForm) -> Result<Packed> {
    config.check()?;
    let dataset = config.dataset.get();
    let Some(images) = dataset.image_files() else {
        let expected =
            "image files in folders, a CSV file or shards: others open quickly as they are";
        return Err(Error::value("data.dataset", format!("`{}`", dataset.name()), expected));
    };
    let crops = config.crops_originals();
    if crops && matches!(form, PackForm::Jpeg(_)) && images.crop_from.is_none() {
        let expected = "the shorter side that `random_resized_crop` crops from, such as 256";
        return Err(Error::value("images.crop_from", "missing", expected));
    }
    let splits = dataset.load_for(data_dir, Purpose::Packing)?;
    let settings = Settings::new(dataset.name(), form, images, crops);
    let file = AtomicWriteFile::open(path).map_err(write_error(path))?;
    let mut writer = Writer { file: BufWriter::new(file), position: 0, path };
    writer.write(MAGIC)?;
    let mut packed = Vec::new();
    for (split, set) in splits.named() {
        let crops = crops && split == Split::Train && form == PackForm::Pixels;
        let images = writer.images(set, form, images, crops)?;
        packed.push(PackedSplit { split, order: set.order().clone(), images });
    }
    let images = packed.iter().map(|split| split.images.len()).sum();
    let class_names = splits.train.class_names().to_vec();
    let index = Index { settings, class_names, splits: packed, skipped: splits.skipped };
    let index = serde_json::to_vec(&index).expect("an index is JSON");
    let offset = writer.position;
    writer.write(&index)?;
    writer.write(&offset.to_le_bytes())?;
    writer.write(&(index.len() as u64).to_le_bytes())?;
    writer.write(&crc32fast::hash(&index).to_le_bytes())?;
    writer.write(MAGIC)?;
    let bytes = writer.position;
    let file = writer.file.into_inner().map_err(|error| write_error(path)(error.into_error()))?;
    // If the sync within `commit` failed, the temporary file would stay.
    file.sync_all().and_then(|()| file.commit()).map_err(write_error(path))?;
    Ok(Packed { images, bytes })
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Write { path, cause }
}

struct Writer<'a> {
    file: BufWriter<AtomicWriteFile>,
    position: u64,
    path: &'a Path,
}

/// An image's bytes, the checksum of its pixels, and the size of its original.
type Blob = (Vec<u8>, u32, Option<[u32; 2]>);

impl Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.position += bytes.len() as u64;
        self.file.write_all(bytes).map_err(write_error(self.path))
    }

    /// Writes the images of a set.
    fn images(
        &mut self,
        set: &ImageSet,
        form: PackForm,
        images: &ImageFilesConfig,
        crops: bool,
    ) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(set.len());
        for start in (0..set.len()).step_by(CHUNK) {
            let chunk = (start..set.len().min(start + CHUNK)).into_par_iter();
            let blobs: Vec<Result<Blob>> = chunk
                .map_init(Reader::default, |reader, index| match form {
                    PackForm::Jpeg(quality) => jpeg(set, index, images, quality, reader),
                    _ => blob(set, index, form, crops, reader),
                })
                .collect();
            for (index, blob) in (start..).zip(blobs) {
                let (bytes, pixels, original) = blob?;
                let (name, size) = set.file_of(index);
                // Other pixels than those of the original file.
                let size =
                    if matches!(form, PackForm::Jpeg(_)) { bytes.len() as u64 } else { size };
                entries.push(Entry {
                    file: ImageFile { name: name.to_owned(), bytes: size },
                    label: set.label(index),
                    pixels,
                    offset: self.position,
                    length: bytes.len() as u64,
                    checksum: crc32fast::hash(&bytes),
                    original,
                });
                self.write(&bytes)?;
            }
        }
        Ok(entries)
    }
}

fn blob(
    set: &ImageSet,
    index: usize,
    form: PackForm,
    crops: bool,
    reader: &mut Reader,
) -> Result<Blob> {
    let fitted = set.read(index, View::Fitted, reader)?.pixels;
    let checksum = crc32fast::hash(fitted);
    if form == PackForm::Files {
        return Ok((reader.file.clone(), checksum, None));
    }
    let mut bytes = fitted.to_vec();
    let mut original = None;
    if crops {
        let picture = set.read(index, View::Original, reader)?;
        bytes.extend_from_slice(picture.pixels);
        original = Some([picture.height as u32, picture.width as u32]);
    }
    Ok((bytes, checksum, original))
}

/// An image as a JPEG file, and the checksum of the pixels that it gives.
fn jpeg(
    set: &ImageSet,
    index: usize,
    images: &ImageFilesConfig,
    quality: u8,
    reader: &mut Reader,
) -> Result<Blob> {
    set.read(index, View::Fitted, reader)?;
    let wrong = |reason: String| {
        Error::Image(BrokenFile { path: set.file_of(index).0.into(), line: None, reason })
    };
    let decode = |file: &[u8], pixels: &mut Vec<u8>| {
        decode_rgb(file, BOUNDS, pixels).map_err(|error| wrong(error.to_string()))
    };
    let (mut resizer, mut decoded, mut resized) = (Resizer::new(), Vec::new(), Vec::new());
    let size = decode(&reader.file, &mut decoded)?;
    let shorter = images.resized_side().max(images.crop_from.unwrap_or(0));
    let (pixels, [width, height]) = shrink(&decoded, size, shorter, &mut resizer, &mut resized);
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|error| wrong(error.to_string()))?;
    let mut fitted = vec![0; set.shape().values()];
    let size = decode(&file, &mut decoded)?;
    images.fit(&decoded, size, &mut resizer, &mut fitted);
    Ok((file, crc32fast::hash(&fitted), None))
}
