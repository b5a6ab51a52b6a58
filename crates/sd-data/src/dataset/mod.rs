//! Data sets: where images and labels come from.
//!
//! A new data set is one file here, its `mod` line and its line in [`DatasetConfig`].

pub(crate) mod cifar;
mod csv_manifest;
#[cfg(fuzzing)]
pub mod fuzzing;
mod idx;
mod image_files;
pub(crate) mod image_folder;
mod shards;
mod synthetic;

pub use image_files::{BrokenFile, ImageFilesConfig, StorageConfig};
pub(crate) use image_files::{ListedFile, dimensions};

use crate::split::Split;
use crate::{Error, ImageSet, ImageShape, Result};
use schemars::JsonSchema;
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// A data set.
pub trait Dataset {
    /// The name in records.
    fn name(&self) -> String;

    /// The shape of the images and the number of classes, without reading a file.
    fn input(&self) -> (ImageShape, usize);

    /// Checks the configuration, without reading a file.
    ///
    /// # Errors
    /// If a value is out of range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Reads all images. Every split has the shape and the classes that [`input`](Self::input)
    /// returns.
    ///
    /// # Errors
    /// If the data set is not in `data_dir` (the message says how to fetch it) or a file is malformed,
    /// or as for [`check`](Self::check).
    fn load(&self, data_dir: &Path) -> Result<Splits>;

    /// As [`load`](Self::load), for a purpose that image files are read differently for.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_for(&self, data_dir: &Path, purpose: Purpose) -> Result<Splits> {
        let _ = purpose;
        self.load(data_dir)
    }

    /// How image files are resized and cropped; `None` if the data set does not consist of image
    /// files.
    fn image_files(&self) -> Option<&ImageFilesConfig> {
        None
    }

    /// The folder that [`ImageSet::file`] is relative to; `None` if the data set does not consist
    /// of image files.
    ///
    /// # Errors
    /// If the folder is not in `data_dir`.
    fn files_root(&self, data_dir: &Path) -> Result<Option<PathBuf>> {
        let _ = data_dir;
        Ok(None)
    }
}

variants! {
    /// A data set, as written in a configuration.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum DatasetConfig: Dataset {
        /// CIFAR-10 in its official binary layout: the folder `cifar-10-batches-bin` or the archive
        /// `cifar-10-binary.tar.gz`.
        Cifar10 = cifar::CIFAR10,
        /// CIFAR-100 with its 100 fine labels: the folder `cifar-100-binary` or the archive
        /// `cifar-100-binary.tar.gz`.
        Cifar100 = cifar::CIFAR100;
        Idx(idx::IdxConfig),
        ImageFolder(image_folder::ImageFolderConfig),
        CsvManifest(csv_manifest::CsvManifestConfig),
        Shards(shards::ShardsConfig),
        Synthetic(synthetic::SyntheticConfig),
    }
}

/// What images are loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Images in the shape of the data set.
    Fitted,
    /// Also random crops of the training images, which keep their own size.
    Crops,
    /// A packed file: images are read from their files, whatever the configured storage.
    Packing,
}

/// The splits of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// Training images, including any that are later held back for validation.
    pub train: ImageSet,
    /// Validation images, if the data set has its own.
    pub valid: Option<ImageSet>,
    /// Test images, if the data set has any.
    pub test: Option<ImageSet>,
    /// Unreadable files that were skipped, as the configuration allows.
    pub skipped: Vec<BrokenFile>,
}

impl Splits {
    /// Training and test images, none skipped.
    fn new(train: ImageSet, test: ImageSet) -> Self {
        Self { train, valid: None, test: Some(test), skipped: Vec::new() }
    }

    /// The splits that there are, in the order train, valid, test.
    pub fn named(&self) -> impl Iterator<Item = (Split, &ImageSet)> {
        let others = [(Split::Valid, &self.valid), (Split::Test, &self.test)];
        let others = others.into_iter().filter_map(|(split, set)| Some((split, set.as_ref()?)));
        [(Split::Train, &self.train)].into_iter().chain(others)
    }
}

/// The name in records of a data set in `path`: an absolute path, which differs from machine to
/// machine, is shortened to its last `parts`.
fn name_of(path: &str, parts: usize) -> String {
    if Path::new(path).is_relative() {
        return path.to_owned();
    }
    let all: Vec<_> = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    all[all.len().saturating_sub(parts)..].join("/")
}

/// Opens a regular file: opening a pipe might never return.
pub(crate) fn open_regular(path: &Path) -> Result<File> {
    let metadata = fs::metadata(path).map_err(Error::read(path))?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(Error::folder(path, found, "a regular file"));
    }
    File::open(path).map_err(Error::read(path))
}

/// Maximum size of a file of class names in bytes.
const MAX_NAMES: u64 = 1 << 24;

/// Reads a file of one class name per line. Expects `classes` names.
fn read_class_names(path: &Path, classes: usize) -> Result<Vec<String>> {
    let mut text = Vec::new();
    let file = open_regular(path)?;
    file.take(MAX_NAMES + 1).read_to_end(&mut text).map_err(Error::read(path))?;
    if text.len() as u64 > MAX_NAMES {
        let expected = format!("at most {MAX_NAMES} bytes of class names");
        return Err(Error::at_byte(path, MAX_NAMES, "more bytes", expected));
    }
    class_names(&text, path, classes)
}

/// Parses a file of one class name per line, skipping blank lines. Expects `classes` names.
fn class_names(text: &[u8], path: &Path, classes: usize) -> Result<Vec<String>> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let offset = error.valid_up_to() as u64;
        Error::at_byte(path, offset, "bytes that are not UTF-8", "class names, one per line")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != classes {
        let found = format!("{} class names", names.len());
        return Err(Error::at_byte(path, 0, found, format!("{classes}, one per line")));
    }
    Ok(names)
}

/// Checks the number of classes found in `place` against the configuration; `key` names the data
/// set in errors.
pub(crate) fn check_classes(
    key: &str,
    expected: usize,
    classes: &[String],
    place: &Path,
) -> Result<()> {
    if classes.len() == expected && expected > 0 {
        return Ok(());
    }
    const NAMED: usize = 10;
    let more = if classes.len() > NAMED { ", …" } else { "" };
    let names = classes[..classes.len().min(NAMED)].join(", ");
    let found = format!("{}, the classes in `{}`: {names}{more}", classes.len(), place.display());
    Err(Error::value(format!("{key}.classes"), expected, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Holder {
        dataset: DatasetConfig,
    }

    #[test]
    fn reads_the_documented_toml() {
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.dataset);
        assert_eq!(read("dataset = 'cifar10'").unwrap(), DatasetConfig::Cifar10);
        assert_eq!(read("dataset = 'cifar100'").unwrap(), DatasetConfig::Cifar100);
        let idx = read("dataset = { idx = { folder = 'fashion-mnist' } }").unwrap();
        assert_eq!(idx.get().input(), (ImageShape::new(1, 28, 28), 10));
        let synthetic = read(
            "dataset = { synthetic = { classes = 10, train = 64, test = 32, \
             channels = 3, height = 16, width = 24, seed = 0 } }",
        );
        assert_eq!(synthetic.unwrap().get().input(), (ImageShape::new(3, 16, 24), 10));
        for text in [
            "dataset = { image_folder = { folder = 'a', classes = 3, images = { side = 64 } } }",
            "dataset = { csv_manifest = { file = 'a.csv', classes = 3, images = { side = 64, \
             shorter_side = 72, skip_broken = true, memory_gb = 4 } } }",
        ] {
            assert_eq!(read(text).unwrap().get().input(), (ImageShape::new(3, 64, 64), 3));
            assert!(read(&text.replace("side = 64", "size = 64")).is_err(), "{text}");
        }
        assert!(read("dataset = { idx = { folder = 'a', gray = true } }").is_err());
        assert!(read("dataset = 'cifar1000'").is_err());
    }

    #[test]
    fn an_absolute_path_is_no_name() {
        let name = |text: &str| {
            let text = format!("dataset = {{ {text} }}");
            toml::from_str::<Holder>(&text).unwrap().dataset.get().name()
        };
        for (folder, expected) in [("pets", "pets"), ("/mnt/disk/pets", "pets"), ("a/b", "a/b")] {
            let images = "classes = 2, images = { side = 8 }";
            assert_eq!(name(&format!("idx = {{ folder = '{folder}' }}")), expected);
            assert_eq!(
                name(&format!("image_folder = {{ folder = '{folder}', {images} }}")),
                expected
            );
            let table = name(&format!("csv_manifest = {{ file = '{folder}/all.csv', {images} }}"));
            assert_eq!(table, format!("{expected}/all.csv"));
        }
    }

    #[test]
    fn every_example_reads_back_from_toml() {
        for dataset in DatasetConfig::examples() {
            let table = toml::Table::from_iter([(
                "dataset".to_owned(),
                toml::Value::try_from(&dataset).unwrap(),
            )]);
            assert_eq!(toml::from_str::<Holder>(&table.to_string()).unwrap().dataset, dataset);
        }
    }

    #[test]
    fn a_file_of_class_names_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        let mut text = b"cat\ndog\n".to_vec();
        text.resize(MAX_NAMES as usize, b'\n');
        fs::write(&path, &text).unwrap();
        assert_eq!(read_class_names(&path, 2).unwrap(), ["cat", "dog"]);
        text.push(b'\n');
        fs::write(&path, &text).unwrap();
        let error = read_class_names(&path, 2).unwrap_err().to_string();
        let facts =
            "names.txt` at byte 16777216: found more bytes, expected at most 16777216 bytes";
        assert!(error.contains(facts), "{error}");
        let error = read_class_names(folder.path(), 2).unwrap_err().to_string();
        assert!(error.contains("found a folder, expected a regular file"), "{error}");
    }

    #[test]
    fn class_names_are_counted() {
        let path = Path::new("names.txt");
        let names = class_names(b"apple\nT-shirt/top \n\n", path, 2).unwrap();
        assert_eq!(names, ["apple", "T-shirt/top"]);
        let marked = class_names("\u{feff}apple\npear".as_bytes(), path, 2).unwrap();
        assert_eq!(marked, ["apple", "pear"], "without the byte order mark");
        let error = class_names(b"apple\n", path, 2).unwrap_err().to_string();
        assert_eq!(error, "`names.txt` at byte 0: found 1 class names, expected 2, one per line");
        let error = class_names(b"apple\n\xff\n", path, 2).unwrap_err().to_string();
        assert!(error.contains("at byte 6") && error.contains("UTF-8"), "{error}");
    }
}
