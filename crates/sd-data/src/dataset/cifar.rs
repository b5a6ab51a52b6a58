//! CIFAR-10 and CIFAR-100 in the binary layout of <https://www.cs.toronto.edu/~kriz/cifar.html>.
//!
//! A record is the label bytes (CIFAR-10: the label; CIFAR-100: the coarse, then the fine label)
//! and three planes of 32×32 bytes: red, green, blue. Files consist of records only.

use super::{Dataset, Splits, class_names, open_regular};
use crate::{Error, ImageSet, ImageShape, Result};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use tracing::warn;

pub(super) const SHAPE: ImageShape = ImageShape::new(3, 32, 32);
const PLANE: usize = 32 * 32;

/// The file names and sizes of CIFAR-10 or CIFAR-100.
pub(crate) struct Cifar {
    pub(crate) title: &'static str,
    /// The name in records and for `data fetch`.
    pub(crate) name: &'static str,
    /// The folder, also the name of the folder inside the archive.
    pub(crate) folder: &'static str,
    pub(crate) archive: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
    /// Label bytes per record, the last of which is the label.
    label_bytes: usize,
    classes: usize,
    /// Records in each file of `train`, and in `test`.
    records: (usize, usize),
}

pub(crate) const CIFAR10: Cifar = Cifar {
    title: "CIFAR-10",
    name: "cifar10",
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    label_bytes: 1,
    classes: 10,
    records: (10_000, 10_000),
};

pub(crate) const CIFAR100: Cifar = Cifar {
    title: "CIFAR-100",
    name: "cifar100",
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    label_bytes: 2,
    classes: 100,
    records: (50_000, 10_000),
};

/// A file of the data set in memory.
pub(super) struct Member {
    /// Its origin, for messages.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Dataset for Cifar {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn input(&self) -> (ImageShape, usize) {
        (SHAPE, self.classes)
    }

    /// Reads the folder in `data_dir` if it is complete, or else the archive.
    fn load(&self, data_dir: &Path) -> Result<Splits> {
        self.splits(&self.read(data_dir)?)
    }
}

impl Cifar {
    /// Parses the files, in the order of `wanted`.
    pub(super) fn splits(&self, members: &[Member]) -> Result<Splits> {
        let [names, test, train @ ..] = members else {
            unreachable!("there is a member for each wanted file")
        };
        let names = class_names(&names.bytes, &names.path, self.classes)?;
        let split = |files: &[Member], records: usize| {
            let mut pixels = Vec::with_capacity(files.len() * records * SHAPE.values());
            let mut labels = Vec::with_capacity(files.len() * records);
            for file in files {
                self.check_size(&file.path, file.bytes.len() as u64, records)?;
                self.parse(file, &mut pixels, &mut labels)?;
            }
            ImageSet::new(SHAPE, pixels, labels, names.clone())
        };
        let train = split(train, self.records.0)?;
        let test = split(std::slice::from_ref(test), self.records.1)?;
        Ok(Splits::new(train, test))
    }

    /// The same layout with two classes and no images.
    #[cfg(fuzzing)]
    pub(super) fn empty(self) -> Self {
        Self { classes: 2, records: (0, 0), ..self }
    }

    const fn record(&self) -> usize {
        self.label_bytes + 3 * PLANE
    }

    /// The files to read with their maximum sizes in bytes: names, test, train.
    fn wanted(&self) -> Vec<(&'static str, u64)> {
        let size = |records: usize| (records * self.record()) as u64;
        let mut wanted = vec![(self.names, 1 << 16), (self.test, size(self.records.1))];
        wanted.extend(self.train.iter().map(|&file| (file, size(self.records.0))));
        wanted
    }

    /// The names of the unpacked files and, if fixed, their sizes in bytes.
    pub(crate) fn files(&self) -> Vec<(String, Option<u64>)> {
        let fixed = |(name, bytes): (&str, u64)| {
            (name.to_owned(), Some(bytes).filter(|_| name != self.names))
        };
        self.wanted().into_iter().map(fixed).collect()
    }

    /// Reads the wanted files from the folder if it is complete, or else from the archive.
    fn read(&self, data_dir: &Path) -> Result<Vec<Member>> {
        let folder = data_dir.join(self.folder);
        let archive = data_dir.join(self.archive);
        let files = self.files();
        let absent = absent(&folder, &files);
        if archive.is_file()
            && let Some(name) = absent
        {
            if folder.is_dir() {
                let (folder, archive) = (folder.display(), archive.display());
                warn!("`{folder}` has no whole `{name}`: reading `{archive}` instead");
            }
            let file = File::open(&archive).map_err(Error::read(&archive))?;
            return self.unpack(GzDecoder::new(BufReader::new(file)), &archive);
        }
        let missing = |expected| Error::Missing {
            name: self.title.to_owned(),
            folder: data_dir.to_owned(),
            expected,
            advice: format!("fetch it with `cargo xtask data fetch {}`", self.name),
        };
        if !folder.is_dir() {
            let (folder, archive) = (self.folder, self.archive);
            return Err(missing(format!("the folder `{folder}` or the file `{archive}`")));
        }
        let read = |(name, most): (&str, u64)| {
            let path = folder.join(name);
            if !path.exists() {
                return Err(missing(format!("the file `{}/{name}`", self.folder)));
            }
            let file = open_regular(&path)?;
            let size = file.metadata().map_err(Error::read(&path))?.len();
            read_member(file, path, size, most)
        };
        self.wanted().into_iter().map(read).collect()
    }

    /// Reads only the wanted members of a tar file, into memory: no name in an archive becomes a
    /// path on disk.
    pub(super) fn unpack(&self, tar: impl Read, path: &Path) -> Result<Vec<Member>> {
        let wanted = self.wanted();
        // Kilobytes of gzip can expand to gigabytes of tar. Bounds how much of it is skipped.
        let most = 2 * wanted.iter().map(|(_, most)| most).sum::<u64>();
        let mut archive = tar::Archive::new(tar.take(most));
        let mut found: Vec<Option<Member>> = wanted.iter().map(|_| None).collect();
        // Raw: long names would be read into memory, and no wanted file has one.
        for entry in archive.entries().map_err(Error::read(path))?.raw(true) {
            let entry = entry.map_err(Error::read(path))?;
            let name = entry.path_bytes();
            let Some(name) = std::str::from_utf8(&name)
                .ok()
                .and_then(|name| name.strip_prefix("./").unwrap_or(name).strip_prefix(self.folder))
                .and_then(|name| name.strip_prefix('/'))
            else {
                continue;
            };
            if let Some(index) = wanted.iter().position(|(file, _)| *file == name) {
                let (file, most) = wanted[index];
                let member = path.join(self.folder).join(file);
                let size = entry.size();
                found[index] = Some(read_member(entry, member, size, most)?);
                // Skips decompressing the rest of the archive.
                if found.iter().all(Option::is_some) {
                    break;
                }
            }
        }
        let named = found.into_iter().zip(wanted);
        named
            .map(|(member, (file, _))| {
                member.ok_or_else(|| Error::MissingMember {
                    archive: path.to_owned(),
                    member: format!("{}/{file}", self.folder),
                })
            })
            .collect()
    }

    /// Checks that a file of `size` bytes is exactly `records` records.
    fn check_size(&self, path: &Path, size: u64, records: usize) -> Result<()> {
        let expected = (records * self.record()) as u64;
        if size == expected {
            return Ok(());
        }
        let found = format!("{size} bytes");
        let records = format!("{expected} bytes, {records} records of {}", self.record());
        Err(Error::at_byte(path, size.min(expected), found, records))
    }

    /// Appends the records of a file to `pixels` and `labels`.
    pub(super) fn parse(
        &self,
        file: &Member,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<usize>,
    ) -> Result<()> {
        let malformed = |offset: usize, found: String, expected: String| {
            Error::at_byte(&file.path, offset as u64, found, expected)
        };
        let records = file.bytes.chunks_exact(self.record());
        let rest = records.remainder().len();
        if rest != 0 {
            return Err(malformed(
                file.bytes.len() - rest,
                format!("a record of {rest} bytes"),
                format!("whole records of {} bytes", self.record()),
            ));
        }
        for (index, record) in records.enumerate() {
            let (label_bytes, image) = record.split_at(self.label_bytes);
            let label = usize::from(label_bytes[self.label_bytes - 1]);
            if label >= self.classes {
                return Err(malformed(
                    index * self.record() + self.label_bytes - 1,
                    format!("label {label} in record {index}"),
                    format!("a label below {}", self.classes),
                ));
            }
            labels.push(label);
            let (red, rest) = image.split_at(PLANE);
            let (green, blue) = rest.split_at(PLANE);
            pixels.extend(
                red.iter()
                    .zip(green)
                    .zip(blue)
                    .flat_map(|((&red, &green), &blue)| [red, green, blue]),
            );
        }
        Ok(())
    }
}

/// The first of `files` (names and, if fixed, sizes in bytes) that is not whole in `folder`.
pub(crate) fn absent<'a>(folder: &Path, files: &'a [(String, Option<u64>)]) -> Option<&'a str> {
    let is_whole = |name: &str, bytes: Option<u64>| {
        let file = folder.join(name).metadata().ok().filter(fs::Metadata::is_file);
        file.is_some_and(|file| bytes.is_none_or(|bytes| file.len() == bytes))
    };
    files.iter().find(|(name, bytes)| !is_whole(name, *bytes)).map(|(name, _)| name.as_str())
}

/// Reads a file of declared `size`, at most `most` bytes.
fn read_member(reader: impl Read, path: PathBuf, size: u64, most: u64) -> Result<Member> {
    if size > most {
        let (found, expected) = (format!("{size} bytes"), format!("at most {most} bytes"));
        return Err(Error::at_byte(&path, most, found, expected));
    }
    let mut bytes = Vec::new();
    reader.take(most).read_to_end(&mut bytes).map_err(Error::read(&path))?;
    Ok(Member { path, bytes })
}

#[cfg(test)]
mod tests;
