//! Where images come from.
//!
//! A new data set is a file here, a variant of [`DatasetConfig`], and an arm in `input` and in
//! `load`.

mod cifar;
mod csv_manifest;
#[cfg(fuzzing)]
pub mod fuzzing;
mod idx;
mod image_files;
mod image_folder;
mod synthetic;

pub use csv_manifest::CsvManifestConfig;
pub use idx::IdxConfig;
pub use image_files::{BrokenFile, ImageFilesConfig};
pub use image_folder::ImageFolderConfig;
pub use synthetic::SyntheticConfig;

use crate::{Error, ImageSet, ImageShape, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A data set, as it is written in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatasetConfig {
    /// CIFAR-10 in its official binary layout: the folder `cifar-10-batches-bin` or the archive
    /// `cifar-10-binary.tar.gz`.
    Cifar10,
    /// CIFAR-100 with its 100 fine labels: the folder `cifar-100-binary` or the archive
    /// `cifar-100-binary.tar.gz`.
    Cifar100,
    /// Four files in the format of MNIST, plain or gzip.
    Idx(IdxConfig),
    /// JPEG, PNG and WebP files in a folder for each class.
    ImageFolder(ImageFolderConfig),
    /// JPEG, PNG and WebP files that a table lists.
    CsvManifest(CsvManifestConfig),
    /// Images made from a seed.
    Synthetic(SyntheticConfig),
}

/// The splits that a data set comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// To train on, and, without `valid`, to take validation images from.
    pub train: ImageSet,
    /// To validate on, where the data set has such images.
    pub valid: Option<ImageSet>,
    /// To test on, once.
    pub test: ImageSet,
    /// Files that were left out, as the configuration asked.
    pub skipped: Vec<BrokenFile>,
}

impl Splits {
    /// Images to train on and to test on, none left out.
    fn new(train: ImageSet, test: ImageSet) -> Self {
        Self { train, valid: None, test, skipped: Vec::new() }
    }
}

impl DatasetConfig {
    /// What records call the data set.
    pub fn name(&self) -> String {
        match self {
            Self::Cifar10 => "cifar10".to_owned(),
            Self::Cifar100 => "cifar100".to_owned(),
            Self::Idx(config) => config.folder.clone(),
            Self::ImageFolder(config) => config.folder.clone(),
            Self::CsvManifest(config) => config.file.clone(),
            Self::Synthetic(_) => "synthetic".to_owned(),
        }
    }

    /// The shape of the images and the number of classes, without reading a file.
    pub fn input(&self) -> (ImageShape, usize) {
        match self {
            Self::Cifar10 => (cifar::SHAPE, cifar::CIFAR10.classes),
            Self::Cifar100 => (cifar::SHAPE, cifar::CIFAR100.classes),
            Self::Idx(config) => (config.shape(), config.classes),
            Self::ImageFolder(config) => (config.images.shape(), config.classes),
            Self::CsvManifest(config) => (config.images.shape(), config.classes),
            Self::Synthetic(config) => (config.shape(), config.classes),
        }
    }

    /// How images of any size become the data set's, where it consists of image files.
    pub fn image_files(&self) -> Option<&ImageFilesConfig> {
        match self {
            Self::ImageFolder(config) => Some(&config.images),
            Self::CsvManifest(config) => Some(&config.images),
            Self::Cifar10 | Self::Cifar100 | Self::Idx(_) | Self::Synthetic(_) => None,
        }
    }

    /// The folder that [`ImageSet::file`] starts from, where the data set consists of image files.
    ///
    /// # Errors
    /// When it is not in `data_dir`.
    pub fn files_root(&self, data_dir: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::ImageFolder(config) => config.root(data_dir).map(Some),
            Self::CsvManifest(config) => config.root(data_dir).map(Some),
            Self::Cifar10 | Self::Cifar100 | Self::Idx(_) | Self::Synthetic(_) => Ok(None),
        }
    }

    /// Reads the whole data set. All splits have the shape and classes that
    /// [`input`](Self::input) tells.
    ///
    /// # Errors
    /// When it is not in `data_dir` (the message says how to fetch it), a file is not what its
    /// format says, or a number of the configuration is out of its range.
    pub fn load(&self, data_dir: &Path) -> Result<Splits> {
        match self {
            Self::Cifar10 => cifar::CIFAR10.load(data_dir),
            Self::Cifar100 => cifar::CIFAR100.load(data_dir),
            Self::Idx(config) => config.load(data_dir),
            Self::ImageFolder(config) => config.load(data_dir),
            Self::CsvManifest(config) => config.load(data_dir),
            Self::Synthetic(config) => config.load(),
        }
    }
}

/// The names in a file of one name a line, blank lines left out, which must be `classes`.
fn class_names(text: &[u8], path: &Path, classes: usize) -> Result<Vec<String>> {
    let text = std::str::from_utf8(text).map_err(|error| Error::Malformed {
        path: path.to_owned(),
        offset: error.valid_up_to() as u64,
        found: "bytes that are not UTF-8".to_owned(),
        expected: "class names, one a line".to_owned(),
    })?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != classes {
        return Err(Error::Malformed {
            path: path.to_owned(),
            offset: 0,
            found: format!("{} class names", names.len()),
            expected: format!("{classes}, one a line"),
        });
    }
    Ok(names)
}

/// Checks that there are as many classes as the configuration says; `key` is what errors call the
/// data set, `place` is where the classes are.
fn check_classes(key: &str, expected: usize, classes: &[String], place: &Path) -> Result<()> {
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

    #[test]
    fn reads_the_documented_toml() {
        #[derive(Deserialize)]
        struct Holder {
            dataset: DatasetConfig,
        }
        let read = |text: &str| toml::from_str::<Holder>(text).map(|holder| holder.dataset);
        assert_eq!(read("dataset = 'cifar10'").unwrap(), DatasetConfig::Cifar10);
        assert_eq!(read("dataset = 'cifar100'").unwrap(), DatasetConfig::Cifar100);
        let idx = read("dataset = { idx = { folder = 'fashion-mnist' } }").unwrap();
        assert_eq!(idx.input(), (ImageShape::new(1, 28, 28), 10));
        let synthetic = read(
            "dataset = { synthetic = { classes = 10, train = 64, test = 32, \
             channels = 3, height = 16, width = 24, seed = 0 } }",
        );
        assert_eq!(synthetic.unwrap().input(), (ImageShape::new(3, 16, 24), 10));
        for text in [
            "dataset = { image_folder = { folder = 'a', classes = 3, images = { side = 64 } } }",
            "dataset = { csv_manifest = { file = 'a.csv', classes = 3, images = { side = 64, \
             shorter_side = 72, skip_broken = true, memory_gb = 4 } } }",
        ] {
            assert_eq!(read(text).unwrap().input(), (ImageShape::new(3, 64, 64), 3));
            assert!(read(&text.replace("side = 64", "size = 64")).is_err(), "{text}");
        }
        assert!(read("dataset = { idx = { folder = 'a', gray = true } }").is_err());
        assert!(read("dataset = 'cifar1000'").is_err());
    }

    #[test]
    fn class_names_are_counted() {
        let path = Path::new("names.txt");
        let names = class_names(b"apple\nT-shirt/top \n\n", path, 2).unwrap();
        assert_eq!(names, ["apple", "T-shirt/top"]);
        let error = class_names(b"apple\n", path, 2).unwrap_err().to_string();
        assert_eq!(error, "`names.txt` at byte 0: found 1 class names, expected 2, one a line");
        let error = class_names(b"apple\n\xff\n", path, 2).unwrap_err().to_string();
        assert!(error.contains("at byte 6") && error.contains("UTF-8"), "{error}");
    }
}
