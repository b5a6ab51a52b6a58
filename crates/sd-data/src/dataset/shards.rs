//! Image files in the tar files of WebDataset.

pub(super) mod index;

use super::image_files::{ImageFilesConfig, Listing};
use super::{Dataset, Purpose, Splits, name_of, read_class_names};
use crate::image_set::{EpochOrder, ImageFile};
use crate::source::{Encoded, EncodedFiles};
use crate::split::Split;
use crate::{Error, ImageShape, Result};
use index::{Member, scan};
use rayon::prelude::*;
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Image files in the tar files of WebDataset: for each image `key.jpg` (or `.jpeg`, `.png`, `.webp`,
/// `.bmp`, `.gif`) and, next to it, `key.cls` with its label as a number from 0, or `key.json` with the
/// number as `label` or `cls`. Other files are ignored.
///
/// The shards are listed once at the start, which reads their headers alone. An epoch shuffles the
/// shards, and the images as they come through a buffer, so that each shard is read more or less in
/// order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardsConfig {
    /// Training shards, such as `imagenet/train-{0000..0146}.tar`, relative to the data folder, or an
    /// absolute path.
    pub train: String,
    /// Validation shards, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<String>,
    /// Test shards, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// Number of classes.
    pub classes: usize,
    /// File of the class names, one per line in the order of the labels. By default the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<String>,
    /// Images that wait in the buffer from which an epoch draws. From the number of training images on,
    /// an epoch is shuffled as that of an image folder. Default: 10,000.
    #[serde(default = "ten_thousand")]
    pub buffer: usize,
    /// Resizing and cropping of the files.
    pub images: ImageFilesConfig,
}

fn ten_thousand() -> usize {
    10_000
}

const KEY: &str = "data.dataset.shards";
/// Most shards of a split.
const MAX_SHARDS: usize = 1 << 20;

impl Dataset for ShardsConfig {
    fn name(&self) -> String {
        name_of(&self.train, 2)
    }

    fn input(&self) -> (ImageShape, usize) {
        (self.images.shape(), self.classes)
    }

    fn check(&self) -> Result<()> {
        if self.classes == 0 {
            return Err(Error::value(format!("{KEY}.classes"), 0, "at least 1"));
        }
        self.images.check(KEY)?;
        self.patterns().try_for_each(|(_, key, pattern)| shard_names(key, pattern).map(|_| ()))
    }

    fn image_files(&self) -> Option<&ImageFilesConfig> {
        Some(&self.images)
    }

    fn load(&self, data_dir: &Path) -> Result<Splits> {
        self.load_for(data_dir, Purpose::Fitted)
    }

    fn load_for(&self, data_dir: &Path, purpose: Purpose) -> Result<Splits> {
        self.check()?;
        if let Some(packed) = self.images.packed(data_dir, purpose) {
            return self.images.open_packed(&packed, KEY, &self.name(), self.classes, purpose);
        }
        let class_names = match &self.class_names {
            Some(file) => read_class_names(&data_dir.join(file), self.classes)?,
            None => (0..self.classes).map(|label| label.to_string()).collect(),
        };
        let mut splits = Vec::new();
        for (split, key, pattern) in self.patterns() {
            splits.push((split, self.list(data_dir, key, pattern)?));
        }
        self.images.open(KEY, Path::new(&self.train), splits, &class_names, purpose)
    }
}

impl Examples for ShardsConfig {
    fn examples() -> Vec<Self> {
        vec![Self {
            train: "imagenet/train-{0000..0146}.tar".to_owned(),
            valid: Some("imagenet/val-{00..06}.tar".to_owned()),
            test: None,
            classes: 1000,
            class_names: None,
            buffer: ten_thousand(),
            images: ImageFilesConfig::new(224),
        }]
    }
}

impl ShardsConfig {
    /// Key and pattern of each split that there is.
    fn patterns(&self) -> impl Iterator<Item = (Split, &'static str, &str)> {
        let patterns = [
            (Split::Train, "train", Some(&self.train)),
            (Split::Valid, "valid", self.valid.as_ref()),
            (Split::Test, "test", self.test.as_ref()),
        ];
        patterns.into_iter().filter_map(|(split, key, pattern)| Some((split, key, &**pattern?)))
    }

    /// Lists the images of the shards that a pattern names.
    fn list(&self, data_dir: &Path, key: &str, pattern: &str) -> Result<Listing<Members>> {
        let names = shard_names(key, pattern)?;
        let paths: Vec<PathBuf> = names.iter().map(|name| data_dir.join(name)).collect();
        // All of them, so that the first damaged one is named whatever the threads do.
        let scanned: Vec<_> = paths.par_iter().map(|path| scan(path, self.classes)).collect();
        let (mut labels, mut files, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        let mut members = Vec::new();
        for (shard, of_shard) in scanned.into_iter().enumerate() {
            for Member { name, label, offset, length } in of_shard? {
                labels.push(label);
                files.push(ImageFile { name: format!("{}/{name}", names[shard]), bytes: length });
                shards.push(shard as u32);
                members.push((shard, offset, length));
            }
        }
        let failures = files.iter().map(|_| None).collect();
        let members =
            Members { paths, names: files.iter().map(|file| file.name.clone()).collect(), members };
        let encoded = Encoded { files: members, images: self.images.clone() };
        let order = EpochOrder::by_shard(shards, self.buffer);
        Ok(Listing { encoded, labels, files, failures, order })
    }
}

/// The paths that the pattern of `key` names.
fn shard_names(key: &str, pattern: &str) -> Result<Vec<String>> {
    expand(pattern).ok_or_else(|| {
        let expected = "a path with at most one range, such as `train-{000..127}.tar`";
        Error::value(format!("{KEY}.{key}"), format!("`{pattern}`"), expected)
    })
}

/// The paths that a pattern with at most one range `{FIRST..LAST}` names; the length of FIRST is that of
/// all numbers. `None` if the range is malformed.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return Some(vec![pattern.to_owned()]);
    };
    let (range, after) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let width = first.len();
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    if after.contains(['{', '}']) || first > last || last - first >= MAX_SHARDS {
        return None;
    }
    Some((first..=last).map(|number| format!("{before}{number:0width$}{after}")).collect())
}

/// Image files inside shards.
#[derive(Debug)]
struct Members {
    paths: Vec<PathBuf>,
    /// Shard and name of each file, for errors.
    names: Vec<String>,
    /// Shard, offset and length of each file.
    members: Vec<(usize, u64, u64)>,
}

impl EncodedFiles for Members {
    fn bytes<'a>(
        &'a self,
        index: usize,
        bytes: &'a mut Vec<u8>,
    ) -> std::result::Result<&'a [u8], String> {
        let (shard, offset, length) = self.members[index];
        bytes.resize(length as usize, 0);
        // Opened each time: there may be more shards than files that a process may open.
        let read =
            File::open(&self.paths[shard]).and_then(|file| file.read_exact_at(bytes, offset));
        read.map_err(|error| format!("cannot read it in the shard: {error}"))?;
        Ok(bytes)
    }

    fn place(&self, index: usize) -> (PathBuf, Option<u64>) {
        (PathBuf::from(&self.names[index]), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_shards() {
        assert_eq!(expand("a/b.tar").unwrap(), ["a/b.tar"]);
        assert_eq!(
            expand("a-{08..11}.tar").unwrap(),
            ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
        );
        for wrong in ["a-{0..}.tar", "a-{3..1}.tar", "a-{0..1", "{0..1}-{0..1}.tar", "a-{0,1}.tar"]
        {
            assert_eq!(expand(wrong), None, "{wrong}");
        }
        assert_eq!(expand("{0..99999999}.tar"), None);
    }
}
