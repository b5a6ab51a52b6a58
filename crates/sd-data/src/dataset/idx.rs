//! The IDX format of MNIST, plain or gzip: <https://yann.lecun.com/exdb/mnist/>, at the bottom.
//!
//! A file is a magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions), each
//! dimension as a big-endian `u32`, and the bytes.

use super::{Dataset, Splits, name_of, read_class_names};
use crate::{Error, ImageSet, ImageShape, Result};
use flate2::read::GzDecoder;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Four files in the format of MNIST, plain or gzip (`.gz`): `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`.
///
/// The class names come from `class_names.txt` in the same folder, one per line. Without that file,
/// classes are named by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxConfig {
    /// Folder, relative to the data folder.
    pub folder: String,
    /// Number of classes, 1 to 256. Default: MNIST's 10.
    #[serde(default = "ten")]
    pub classes: usize,
    /// Height in pixels. Default: MNIST's 28.
    #[serde(default = "twenty_eight")]
    pub height: usize,
    /// Width in pixels. Default: MNIST's 28.
    #[serde(default = "twenty_eight")]
    pub width: usize,
}

fn ten() -> usize {
    10
}

fn twenty_eight() -> usize {
    28
}

pub(super) const IMAGES: u32 = 0x0803;
pub(super) const LABELS: u32 = 0x0801;

/// Classes that fit a label of one byte.
const MAX_CLASSES: usize = 1 << 8;
/// Maximum bytes of items in a file, almost three million of MNIST's images: a gzip file of two
/// megabytes can hold as many. The largest such set, EMNIST by class, has 0.7 million.
const MAX_BYTES: u64 = 1 << 31;

impl IdxConfig {
    /// MNIST's shape and number of classes, in `folder`.
    pub fn new(folder: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            classes: ten(),
            height: twenty_eight(),
            width: twenty_eight(),
        }
    }

    fn shape(&self) -> ImageShape {
        ImageShape::new(1, self.height, self.width)
    }

    fn split(&self, folder: &Path, split: &str, names: &[String]) -> Result<ImageSet> {
        let (path, reader) = open(folder, &format!("{split}-images-idx3-ubyte"))?;
        let (count, pixels) = parse(reader, &path, IMAGES, &[self.height, self.width])?;
        let (path, reader) = open(folder, &format!("{split}-labels-idx1-ubyte"))?;
        let (label_count, labels) = parse(reader, &path, LABELS, &[])?;
        if label_count != count {
            let expected = format!("{count}, as many as there are images");
            return Err(Error::at_byte(&path, 4, format!("{label_count} labels"), expected));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= self.classes) {
            let found = format!("label {} of image {index}", labels[index]);
            let expected = format!("a label below {}", self.classes);
            return Err(Error::at_byte(&path, 8 + index as u64, found, expected));
        }
        let labels = labels.into_iter().map(usize::from).collect();
        ImageSet::new(self.shape(), pixels, labels, names.to_vec())
    }
}

impl Dataset for IdxConfig {
    fn name(&self) -> String {
        name_of(&self.folder, 1)
    }

    fn input(&self) -> (ImageShape, usize) {
        (self.shape(), self.classes)
    }

    fn check(&self) -> Result<()> {
        for (name, value) in
            [("classes", self.classes), ("height", self.height), ("width", self.width)]
        {
            if value == 0 {
                return Err(Error::value(format!("data.dataset.idx.{name}"), 0, "at least 1"));
            }
        }
        if self.classes > MAX_CLASSES {
            let expected = format!("at most {MAX_CLASSES}, since a label is one byte");
            return Err(Error::value("data.dataset.idx.classes", self.classes, expected));
        }
        Ok(())
    }

    fn load(&self, data_dir: &Path) -> Result<Splits> {
        self.check()?;
        let folder = data_dir.join(&self.folder);
        if !folder.is_dir() {
            let advice = if self.folder == "fashion-mnist" {
                "fetch it with `cargo xtask data fetch fashion-mnist`"
            } else {
                "put its four files there"
            };
            return Err(Error::Missing {
                name: "IDX data set".to_owned(),
                folder: data_dir.to_owned(),
                expected: format!("the folder `{}`", self.folder),
                advice: advice.to_owned(),
            });
        }
        let path = folder.join("class_names.txt");
        let names = if path.exists() {
            read_class_names(&path, self.classes)?
        } else {
            (0..self.classes).map(|class| class.to_string()).collect()
        };
        let train = self.split(&folder, "train", &names)?;
        let test = self.split(&folder, "t10k", &names)?;
        Ok(Splits::new(train, test))
    }
}

impl Examples for IdxConfig {
    fn examples() -> Vec<Self> {
        vec![Self::new("fashion-mnist")]
    }
}

/// Opens a file, or else its `.gz` version.
fn open(folder: &Path, name: &str) -> Result<(PathBuf, Box<dyn Read>)> {
    let plain = folder.join(name);
    if plain.is_file() {
        let file = File::open(&plain).map_err(Error::read(&plain))?;
        return Ok((plain, Box::new(BufReader::new(file))));
    }
    let gzip = folder.join(format!("{name}.gz"));
    if gzip.is_file() {
        let file = File::open(&gzip).map_err(Error::read(&gzip))?;
        return Ok((gzip, Box::new(GzDecoder::new(BufReader::new(file)))));
    }
    Err(Error::Missing {
        name: format!("`{name}`"),
        folder: folder.to_owned(),
        expected: format!("that file or `{name}.gz`"),
        advice: "an IDX data set has its four files in one folder".to_owned(),
    })
}

/// Reads a file of items of the given `sides`. Returns the number of items and their bytes.
pub(super) fn parse(
    mut reader: impl Read,
    path: &Path,
    magic: u32,
    sides: &[usize],
) -> Result<(usize, Vec<u8>)> {
    let header_len = 8 + 4 * sides.len() as u64;
    let mut header = Vec::new();
    reader.by_ref().take(header_len).read_to_end(&mut header).map_err(Error::read(path))?;
    let (words, rest) = header.as_chunks::<4>();
    let mut words = words.iter().map(|word| u32::from_be_bytes(*word));
    // The magic number is checked before the length: a short file of another format is reported as
    // another format.
    if let Some(found) = words.next()
        && found != magic
    {
        let kind = if magic == IMAGES { "images" } else { "labels" };
        let expected = format!("{magic:#010x}, {kind} of one byte");
        let found = format!("the magic number {found:#010x}");
        return Err(Error::at_byte(path, 0, found, expected));
    }
    if (header.len() as u64) < header_len || !rest.is_empty() {
        let expected = format!("a header of {header_len} bytes");
        return Err(Error::at_byte(path, header.len() as u64, "the end of the file", expected));
    }
    let count = words.next().unwrap_or_default();
    for (index, (found, &side)) in words.zip(sides).enumerate() {
        if found as usize != side {
            let (name, offset) = if index == 0 { ("height", 8) } else { ("width", 12) };
            let expected = format!("{side}, the {name} in the configuration");
            let found = format!("images of {name} {found}");
            return Err(Error::at_byte(path, offset, found, expected));
        }
    }
    // The declared number of items is not trusted: the allocation grows with the bytes read, and one
    // byte beyond the declared number is enough to reject the file.
    let item: u64 = sides.iter().map(|&side| side as u64).product();
    let expected = u64::from(count).saturating_mul(item);
    if expected > MAX_BYTES {
        let found = format!("{count} items of {item} bytes");
        return Err(Error::at_byte(path, 4, found, format!("at most {MAX_BYTES} bytes")));
    }
    let mut bytes = Vec::new();
    reader.take(expected.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::read(path))?;
    let length = bytes.len() as u64;
    if length != expected {
        let found = if length < expected { "the end of the file" } else { "more bytes" };
        let items = format!("{count} items of {item} bytes after a header of {header_len}");
        return Err(Error::at_byte(path, header_len + length.min(expected), found, items));
    }
    Ok((count as usize, bytes))
}

#[cfg(test)]
mod tests;
