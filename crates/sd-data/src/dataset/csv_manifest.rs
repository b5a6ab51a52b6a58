//! Image files listed in a CSV file.

use super::image_files::{Files, ImageFilesConfig, ListedFile};
use super::{Dataset, Purpose, Splits, name_of, open_regular};
use crate::split::Split;
use crate::{Error, ImageShape, Result};
use csv::{ErrorKind, ReaderBuilder, Trim};
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Image files listed in a CSV file (RFC 4180, UTF-8) with the columns `path`, `label`
/// and `split`, in any order. Other columns are ignored.
///
/// Paths are relative to the folder of the CSV file, with `/` as separator. No path may leave that
/// folder, nor a symbolic link unless `follow_links` is set, and no file may be listed twice. Labels
/// are class names. The classes are those of the `train` lines, sorted by name, byte by byte (`10`
/// comes before `9`). Splits are `train` and, both optional, `val` (or `valid`, or `validation`) and
/// `test`. Spaces around a value are trimmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvManifestConfig {
    /// CSV file, relative to the data folder, or an absolute path.
    pub file: String,
    /// Number of classes, which must match the labels of `train`. Lets a network be built and
    /// counted without the images.
    pub classes: usize,
    /// Resizing and cropping of the files.
    pub images: ImageFilesConfig,
}

const KEY: &str = "data.dataset.csv_manifest";
const COLUMNS: [&str; 3] = ["path", "label", "split"];
/// Names of the splits. Those of the validation images are synonyms.
const SPLITS: [(&str, Split); 5] = [
    ("train", Split::Train),
    ("val", Split::Valid),
    ("valid", Split::Valid),
    ("validation", Split::Valid),
    ("test", Split::Test),
];

/// A line of the CSV file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    line: u64,
    pub(super) path: String,
    label: String,
    split: Split,
}

impl Dataset for CsvManifestConfig {
    fn name(&self) -> String {
        name_of(&self.file, 2)
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
        let path = data_dir.join(&self.file);
        if !path.exists() {
            return Err(Error::Missing {
                name: "manifest".to_owned(),
                folder: data_dir.to_owned(),
                expected: format!("the file `{}`", self.file),
                advice: "its first line is `path,label,split`".to_owned(),
            });
        }
        let file = open_regular(&path)?;
        let root = &self.root(data_dir)?;
        let rows = parse(file, &path)?;
        let train = rows.iter().filter(|row| row.split == Split::Train);
        let mut classes: Vec<String> = train.map(|row| row.label.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        super::check_classes(KEY, self.classes, &classes, &path)?;
        let files = sort(rows, &path, root, &classes)?;
        self.images.read(KEY, &path, root, files, &classes, purpose)
    }
}

impl Examples for CsvManifestConfig {
    fn examples() -> Vec<Self> {
        let images = ImageFilesConfig::new(112);
        vec![Self { file: "pets/images.csv".to_owned(), classes: 2, images }]
    }
}

impl CsvManifestConfig {
    /// The folder of the CSV file, with symbolic links resolved.
    fn root(&self, data_dir: &Path) -> Result<PathBuf> {
        let path = data_dir.join(&self.file);
        let mut root = path.canonicalize().map_err(Error::read(&path))?;
        root.pop();
        Ok(root)
    }
}

/// The files of each split, in the order of the CSV file.
fn sort(rows: Vec<Row>, path: &Path, root: &Path, classes: &[String]) -> Result<Files> {
    let (mut train, mut valid, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for Row { line, path: name, label, split } in rows {
        let Ok(label) = classes.binary_search(&label) else {
            let expected = format!("one of the {} labels of `train`", classes.len());
            return Err(Error::at_line(path, line, format!("the label `{label}`"), expected));
        };
        let files = match split {
            Split::Train => &mut train,
            Split::Valid => &mut valid,
            Split::Test => &mut test,
        };
        files.push(ListedFile { path: root.join(&name), name, label, line: Some(line) });
    }
    let some = |files: Vec<ListedFile>| Some(files).filter(|files| !files.is_empty());
    Ok(Files { train, valid: some(valid), test: some(test) })
}

/// Parses and checks the lines of a CSV file.
pub(super) fn parse(table: impl Read, path: &Path) -> Result<Vec<Row>> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(table);
    let header = reader.headers().map_err(|error| failure(error, path))?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let [Some(file), Some(label), Some(split)] = COLUMNS.map(column) else {
        let found = format!("the columns `{}`", header.iter().collect::<Vec<_>>().join("`, `"));
        return Err(Error::at_line(path, 1, found, "`path`, `label` and `split` among them"));
    };
    let mut rows = Vec::new();
    let mut lines = HashMap::new();
    let mut validation = None;
    for record in reader.records() {
        let record = record.map_err(|error| failure(error, path))?;
        let line = record.position().map_or(1, csv::Position::line);
        let wrong =
            |found: String, expected: &str| Err(Error::at_line(path, line, found, expected));
        let value = |column: usize| record.get(column).unwrap_or_default();
        let name = value(file);
        if !is_inside(name) {
            let expected = "a path inside the folder of the CSV file, such as `cats/a.jpg`";
            return wrong(format!("the path `{name}`"), expected);
        }
        if value(label).is_empty() {
            return wrong("no label".to_owned(), "the name of a class");
        }
        let found = format!("the split `{}`", value(split));
        let Some(&(split, kind)) = SPLITS.iter().find(|(name, _)| *name == value(split)) else {
            return wrong(found, "`train`, `val` or `test`");
        };
        if kind == Split::Valid && *validation.get_or_insert(split) != split {
            return wrong(found, "one name for the validation images, as in the lines before");
        }
        if let Some(first) = lines.insert(name.to_owned(), line) {
            let found = format!("`{name}`, which is also in line {first}");
            return wrong(found, "each file once");
        }
        rows.push(Row { line, path: name.to_owned(), label: value(label).to_owned(), split: kind });
    }
    Ok(rows)
}

/// Whether a path stays inside its starting folder, symbolic links aside.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Converts an error of the CSV reader.
fn failure(error: csv::Error, path: &Path) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let (found, expected) = match error.into_kind() {
        ErrorKind::Io(source) => return Error::read(path)(source),
        ErrorKind::Utf8 { .. } => ("bytes that are not UTF-8".to_owned(), "UTF-8".to_owned()),
        ErrorKind::UnequalLengths { len, expected_len, .. } => {
            (format!("{len} values"), format!("{expected_len}, as in the header"))
        }
        other => (format!("{other:?}"), "comma-separated values".to_owned()),
    };
    Error::at_line(path, line, found, expected)
}
