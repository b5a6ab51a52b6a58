//! Image files in one folder per split and class.

use super::image_files::{ImageFilesConfig, ListedFile};
use super::{Dataset, Splits};
use crate::{Error, ImageShape, Result};
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

/// JPEG, PNG and WebP files in the folders `train/CLASS/`, `test/CLASS/` and, optionally,
/// `val/CLASS/`.
///
/// The folders in `train` are the classes, sorted by name, byte by byte; `val` and `test` may lack
/// some. Every file in a class folder is an image, its format detected by content. Names that begin
/// with a dot are ignored. Symbolic links may not leave the data set's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolderConfig {
    /// Folder, relative to the data folder, or an absolute path.
    pub folder: String,
    /// Number of classes, which must match the folders in `train`. Lets a network be built and
    /// counted without the images.
    pub classes: usize,
    /// Resizing and cropping of the files.
    pub images: ImageFilesConfig,
}

const KEY: &str = "data.dataset.image_folder";

impl Dataset for ImageFolderConfig {
    fn name(&self) -> String {
        self.folder.clone()
    }

    fn input(&self) -> (ImageShape, usize) {
        (self.images.shape(), self.classes)
    }

    fn image_files(&self) -> Option<&ImageFilesConfig> {
        Some(&self.images)
    }

    fn files_root(&self, data_dir: &Path) -> Result<Option<PathBuf>> {
        self.root(data_dir).map(Some)
    }

    fn load(&self, data_dir: &Path) -> Result<Splits> {
        self.images.check(KEY)?;
        let root = self.root(data_dir)?;
        let classes = self.classes(&root)?;
        let list = |split: &str| list(&root, split, &classes);
        let (train, test) = (list("train")?, list("test")?);
        let valid = if root.join("val").exists() { Some(list("val")?) } else { None };
        let files = train.len() + test.len() + valid.as_ref().map_or(0, Vec::len);
        self.images.check_memory(KEY, &root, files)?;
        let mut skipped = Vec::new();
        let mut read = |files| self.images.read_split(KEY, &root, files, &classes, &mut skipped);
        let (train, valid, test) = (read(train)?, valid.map(&mut read).transpose()?, read(test)?);
        Ok(Splits { train, valid, test, skipped })
    }
}

impl Examples for ImageFolderConfig {
    fn examples() -> Vec<Self> {
        let images = ImageFilesConfig::new(112);
        vec![Self { folder: "pets".to_owned(), classes: 2, images }]
    }
}

impl ImageFolderConfig {
    /// The data set's folder, with symbolic links resolved.
    fn root(&self, data_dir: &Path) -> Result<PathBuf> {
        let folder = data_dir.join(&self.folder);
        if !folder.is_dir() {
            return Err(Error::Missing {
                name: "image folder".to_owned(),
                folder: data_dir.to_owned(),
                expected: format!("the folder `{}`", self.folder),
                advice: "put images there as `train/CLASS/FILE` and `test/CLASS/FILE`".to_owned(),
            });
        }
        folder.canonicalize().map_err(Error::read(&folder))
    }

    /// The folders in `train`, sorted. Checks their number against the configuration.
    fn classes(&self, root: &Path) -> Result<Vec<String>> {
        let train = entries(&root.join("train"))?;
        let classes = train.iter().map(class).collect::<Result<Vec<String>>>()?;
        super::check_classes(KEY, self.classes, &classes, &root.join("train"))?;
        Ok(classes)
    }
}

/// Lists the files of a split, class by class.
fn list(root: &Path, split: &str, classes: &[String]) -> Result<Vec<ListedFile>> {
    let mut files = Vec::new();
    for entry in entries(&root.join(split))? {
        let class = class(&entry)?;
        let Ok(label) = classes.binary_search(&class) else {
            let expected = format!("one of the {} classes in `train`", classes.len());
            return Err(Error::folder(&entry.path(), format!("the class `{class}`"), expected));
        };
        for file in entries(&entry.path())? {
            let name = format!("{split}/{class}/{}", file.file_name().display());
            files.push(ListedFile { name, path: file.path(), label, line: None });
        }
    }
    if files.is_empty() {
        let expected = "images in one folder per class";
        return Err(Error::folder(&root.join(split), "no files", expected));
    }
    Ok(files)
}

/// The class name of a folder.
fn class(entry: &DirEntry) -> Result<String> {
    let wrong =
        |found| Error::folder(&entry.path(), found, "one folder per class, with a UTF-8 name");
    if !entry.path().is_dir() {
        return Err(wrong("a file"));
    }
    entry.file_name().into_string().map_err(|_| wrong("a name that is not UTF-8"))
}

/// The entries of a folder, sorted by name, without those that begin with a dot.
fn entries(folder: &Path) -> Result<Vec<DirEntry>> {
    let entries = fs::read_dir(folder).map_err(Error::read(folder))?;
    let mut entries =
        entries.collect::<std::io::Result<Vec<DirEntry>>>().map_err(Error::read(folder))?;
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}
