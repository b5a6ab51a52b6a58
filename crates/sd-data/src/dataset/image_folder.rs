//! Image files in one folder per split and class.

use super::image_files::{Files, ImageFilesConfig, ListedFile};
use super::{Dataset, Purpose, Splits, name_of};
use crate::{Error, ImageShape, Result};
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use tracing::{info, warn};
use walkdir::WalkDir;

/// Image files in the folders `train/CLASS/` and, both optional, `val/CLASS/` (or `valid`, or
/// `validation`) and `test/CLASS/`; or in `CLASS/`, as training images.
///
/// The folders in `train` are the classes, sorted by name, byte by byte; the other splits may lack
/// some. Every file in a class folder or in a folder below it is an image, its format detected by
/// content. Names that begin with a dot and files whose names end as those of other kinds, such as
/// `.db`, `.ini` and `.txt`, are ignored. Symbolic links may not leave the data set's folder, unless
/// `follow_links` is set, and no file may be in it twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolderConfig {
    /// Folder, relative to the data folder, or an absolute path.
    pub folder: String,
    /// Number of classes, which must match the class folders. Lets a network be built and
    /// counted without the images.
    pub classes: usize,
    /// Resizing and cropping of the files.
    pub images: ImageFilesConfig,
}

const KEY: &str = "data.dataset.image_folder";
/// Names of the folder of validation images, of which a data set has at most one.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
/// Names that other programs give to the folders of splits, in lower case.
const NAMES_OF_SPLITS: [&str; 9] =
    ["train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"];
/// Endings of files that systems and labelling programs leave between images, in lower case.
const OTHER_KINDS: [&str; 12] =
    ["csv", "db", "html", "ini", "json", "log", "md", "pdf", "txt", "xml", "yaml", "yml"];

impl Dataset for ImageFolderConfig {
    fn name(&self) -> String {
        name_of(&self.folder, 1)
    }

    fn input(&self) -> (ImageShape, usize) {
        (self.images.shape(), self.classes)
    }

    fn check(&self) -> Result<()> {
        self.images.check(KEY)
    }

    fn image_files(&self) -> Option<&ImageFilesConfig> {
        Some(&self.images)
    }

    fn files_root(&self, data_dir: &Path) -> Result<Option<PathBuf>> {
        if self.images.packed(data_dir, Purpose::Fitted).is_some() {
            return Ok(None);
        }
        self.root(data_dir).map(Some)
    }

    fn load(&self, data_dir: &Path) -> Result<Splits> {
        self.load_for(data_dir, Purpose::Fitted)
    }

    fn load_for(&self, data_dir: &Path, purpose: Purpose) -> Result<Splits> {
        self.check()?;
        if let Some(packed) = self.images.packed(data_dir, purpose) {
            return self.images.open_packed(&packed, KEY, &self.name(), self.classes, purpose);
        }
        let root = self.root(data_dir)?;
        let layout = Layout::of(&root)?;
        super::check_classes(KEY, self.classes, &layout.classes, &layout.train)?;
        let files = layout.list(&root, self.images.follow_links)?;
        self.images.read(KEY, &root, &root, files, &layout.classes, purpose)
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
                advice: "put images there as `train/CLASS/FILE`, and as `val/CLASS/FILE` or \
                         `test/CLASS/FILE`, or all as `CLASS/FILE`"
                    .to_owned(),
            });
        }
        folder.canonicalize().map_err(Error::read(&folder))
    }
}

/// The folders of a data set.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Folder of the class folders with training images.
    pub(crate) train: PathBuf,
    valid: Option<PathBuf>,
    test: Option<PathBuf>,
    /// Names of the class folders, sorted.
    pub(crate) classes: Vec<String>,
}

impl Layout {
    /// Finds the folders of the data set in `root`. Without a folder of a split, the folders in it are
    /// classes.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        // A link to nothing is there: reading it is an error.
        let there = |split: &&str| root.join(split).symlink_metadata().is_ok();
        let valid = VALIDATION.iter().copied().filter(there).collect::<Vec<&str>>();
        if let [first, second, ..] = valid[..] {
            let found = format!("both `{first}` and `{second}`");
            return Err(Error::folder(root, found, "one folder of validation images"));
        }
        let valid = valid.first().map(|split| root.join(split));
        let test = Some("test").filter(there).map(|split| root.join(split));
        let has_splits = there(&"train") || valid.is_some() || test.is_some();
        let train = if has_splits { root.join("train") } else { root.to_owned() };
        if has_splits {
            warn_of_other_folders(root)?;
        } else {
            refuse_misspelt_splits(root)?;
        }
        let classes = class_folders(&train)?.iter().map(class).collect::<Result<_>>()?;
        Ok(Self { train, valid, test, classes })
    }

    /// Lists the files of each split.
    pub(crate) fn list(&self, root: &Path, follow: bool) -> Result<Files> {
        let list = |split: &PathBuf| list(root, split, &self.classes, follow);
        Ok(Files {
            train: list(&self.train)?,
            valid: self.valid.as_ref().map(list).transpose()?,
            test: self.test.as_ref().map(list).transpose()?,
        })
    }
}

/// Refuses folders that are named like a split, and would be taken for classes.
fn refuse_misspelt_splits(root: &Path) -> Result<()> {
    for entry in entries(root)? {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if NAMES_OF_SPLITS.contains(&name.as_str()) {
            let found = format!("the folder `{}`", entry.file_name().display());
            let expected = format!(
                "`train`, and for other splits `{}` or `test`, or class folders alone",
                VALIDATION[0]
            );
            return Err(Error::folder(root, found, expected));
        }
    }
    Ok(())
}

/// Lists the files of a split, class by class.
fn list(root: &Path, split: &Path, classes: &[String], follow: bool) -> Result<Vec<ListedFile>> {
    let mut files = Vec::new();
    for entry in class_folders(split)? {
        let class = class(&entry)?;
        let Ok(label) = classes.binary_search(&class) else {
            let expected = format!("one of the {} classes in `train`", classes.len());
            return Err(Error::folder(&entry.path(), format!("the class `{class}`"), expected));
        };
        for path in below(root, &entry.path(), follow)? {
            let parts = path.strip_prefix(root).unwrap_or(&path).iter();
            let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
            files.push(ListedFile { name: parts.join("/"), path, label, line: None });
        }
    }
    if files.is_empty() {
        let expected = "images in one folder per class";
        return Err(Error::folder(split, "no files", expected));
    }
    Ok(files)
}

/// The files in and below a class folder, folder by folder, sorted by name. A link out of `root` is
/// listed as a file, for reading to refuse it, unless links are followed.
fn below(root: &Path, folder: &Path, follow: bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut other = Vec::new();
    let mut walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                match error.io_error().map(io::Error::kind) {
                    Some(io::ErrorKind::NotFound) if path.file_name().is_some_and(is_hidden) => {}
                    // A link to nothing. Reading names it with all other broken files.
                    Some(io::ErrorKind::NotFound) => files.push(path),
                    _ => return Err(Error::read(path)(error.into())),
                }
                continue;
            }
        };
        let is_folder = entry.file_type().is_dir();
        if entry.depth() > 0 && is_hidden(entry.file_name()) {
            if is_folder {
                walk.skip_current_dir();
            }
        } else if !is_folder && is_other_kind(entry.path()) {
            other.push(entry.into_path());
        } else if !is_folder {
            files.push(entry.into_path());
        } else if entry.path_is_symlink()
            && !follow
            && entry.path().canonicalize().is_ok_and(|real| !real.starts_with(root))
        {
            walk.skip_current_dir();
            files.push(entry.into_path());
        }
    }
    if let Some(first) = other.first() {
        let folder = folder.display();
        let first = first.display();
        info!("ignored {} files of other kinds in `{folder}`, such as `{first}`", other.len());
    }
    Ok(files)
}

/// Whether a file is no image by the ending of its name. Files of unknown endings are read, so that
/// an image in an unsupported format is an error.
fn is_other_kind(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| OTHER_KINDS.contains(&ending.to_ascii_lowercase().as_str()))
}

/// Warns of folders beside the splits, which may be misspelt.
fn warn_of_other_folders(root: &Path) -> Result<()> {
    for entry in entries(root)? {
        let name = entry.file_name();
        let known = ["train", "test"].iter().chain(&VALIDATION).any(|known| name == *known);
        if !known && entry.path().is_dir() {
            warn!(
                "`{}` is ignored: expected the folders `train`, `{}` and `test`",
                entry.path().display(),
                VALIDATION[0]
            );
        }
    }
    Ok(())
}

/// The entries of a split's folder, which must be class folders.
fn class_folders(folder: &Path) -> Result<Vec<DirEntry>> {
    let mut entries = entries(folder)?;
    entries.retain(|entry| !is_other_kind(&entry.path()) || entry.path().is_dir());
    Ok(entries)
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
    entries.retain(|entry| !is_hidden(&entry.file_name()));
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
