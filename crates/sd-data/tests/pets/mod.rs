//! A small data set of image files, shared by tests.

use image::{Rgb, RgbImage};
use sd_data::{CsvManifestConfig, DatasetConfig, ImageFilesConfig, ImageFolderConfig};
use std::fs;
use tempfile::TempDir;

pub fn images() -> ImageFilesConfig {
    ImageFilesConfig::new(4)
}

pub fn folder(classes: usize, images: ImageFilesConfig) -> DatasetConfig {
    DatasetConfig::ImageFolder(ImageFolderConfig { folder: "pets".to_owned(), classes, images })
}

pub fn manifest(classes: usize, images: ImageFilesConfig) -> DatasetConfig {
    DatasetConfig::CsvManifest(CsvManifestConfig { file: "pets/a.csv".to_owned(), classes, images })
}

/// Writes an image of one colour, in the format of its extension.
pub fn put(data_dir: &TempDir, name: &str, color: u8) {
    let path = data_dir.path().join("pets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(9, 6, Rgb([color; 3])).save(path).unwrap();
}

/// Two classes: three training images, two test images.
pub fn pets() -> TempDir {
    let data_dir = TempDir::new().unwrap();
    for (name, color) in [
        ("train/dog/b.webp", 30),
        ("train/cat/b.jpg", 20),
        ("train/cat/a.PNG", 10),
        ("test/dog/a.png", 50),
        ("test/cat/a.png", 40),
    ] {
        put(&data_dir, name, color);
    }
    fs::write(data_dir.path().join("pets/train/cat/.DS_Store"), "no image").unwrap();
    data_dir
}

pub fn write(data_dir: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    let path = data_dir.path().join("pets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[track_caller]
pub fn fails_with(dataset: &DatasetConfig, data_dir: &TempDir, facts: &[&str]) {
    let error = dataset.get().load(data_dir.path()).unwrap_err().to_string();
    for fact in facts {
        assert!(error.contains(fact), "`{fact}` is not in: {error}");
    }
}

/// A CSV file of these images.
pub const LINES: &str = "\
split , note,path, label
train,,train/cat/a.PNG,tom
test,\"two\nlines\", test/dog/a.png ,rex
val,,./train/cat/b.jpg,tom
train,,train/dog/b.webp,rex
";
