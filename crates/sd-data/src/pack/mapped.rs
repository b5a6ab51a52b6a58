//! A packed file in memory.
#![allow(unsafe_code, reason = "a file is mapped into memory")]

use super::index::{Entry, Index, Settings};
use super::{MAGIC, PackForm};
use crate::dataset::open_regular;
use crate::source::{EncodedFiles, Picture, Reader, Source, View};
use crate::{BrokenFile, Error, ImageShape, Result};
use memmap2::Mmap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the index's offset and length, its checksum, and the magic number.
const END: usize = 8 + 8 + 4 + 8;

/// A packed file.
#[derive(Debug)]
pub(super) struct Pack {
    path: PathBuf,
    bytes: Mmap,
}

impl Pack {
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::Missing {
                name: "packed data set".to_owned(),
                folder: path.parent().unwrap_or(path).to_owned(),
                expected: format!("the file `{}`", path.display()),
                advice: "write it with `cargo xtask data pack CONFIG`".to_owned(),
            });
        }
        let file = open_regular(path)?;
        // SAFETY: the file is never changed: `pack` writes a new one and renames it. Whoever else changes
        // it risks what `Mmap` warns of.
        let bytes = unsafe { Mmap::map(&file) }.map_err(Error::read(path))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// A packed file of these bytes, for `fuzz/`.
    #[cfg(fuzzing)]
    pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Self {
        let mut map = memmap2::MmapMut::map_anon(bytes.len()).unwrap();
        map.copy_from_slice(bytes);
        Self { path: path.to_owned(), bytes: map.make_read_only().unwrap() }
    }

    /// Reads the index.
    pub(super) fn index(&self) -> Result<Index> {
        let wrong = |found: &str| {
            let expected = "a whole file that `data pack` wrote; run it again";
            Err(Error::folder(&self.path, found, expected))
        };
        let (bytes, count) = (&self.bytes[..], self.bytes.len());
        if !bytes.starts_with(MAGIC) {
            return wrong("another kind of file");
        }
        let Some(end) = count.checked_sub(END).filter(|_| bytes.ends_with(MAGIC)) else {
            return wrong(&format!("a truncated file of {count} bytes"));
        };
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let (offset, length) = (number(end) as usize, number(end + 8) as usize);
        let checksum =
            u32::from_le_bytes(bytes[end + 16..end + 20].try_into().expect("four bytes"));
        let index = bytes.get(offset..).and_then(|rest| rest.get(..length));
        let Some(index) = index.filter(|index| crc32fast::hash(index) == checksum) else {
            return wrong("a damaged index");
        };
        serde_json::from_slice(index)
            .or_else(|error| wrong(&format!("an index of another version ({error})")))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that every image lies inside the file, has as many bytes as its pixels, and a label below
    /// `classes`.
    pub(super) fn check(
        &self,
        entries: &[Entry],
        settings: &Settings,
        classes: usize,
    ) -> Result<()> {
        for entry in entries {
            let wrong = |found: String, expected: String| {
                let found = format!("{found} of `{}`", entry.file.name);
                Err(Error::folder(&self.path, found, expected))
            };
            let is_whole = settings.form == PackForm::Files
                || entry.pixel_bytes(settings.side) == Some(entry.length);
            let end = entry.offset.checked_add(entry.length);
            if !is_whole || end.is_none_or(|end| end > self.bytes.len() as u64) {
                return wrong("a wrong place".to_owned(), "its bytes in the file".to_owned());
            }
            if entry.label >= classes {
                let expected = format!("a label from 0 to {}", classes - 1);
                return wrong(format!("label {}", entry.label), expected);
            }
        }
        Ok(())
    }
}

/// Images of a packed file.
#[derive(Debug)]
struct Images {
    pack: Arc<Pack>,
    entries: Vec<Entry>,
    /// Whether the checksum of each image was compared.
    checked: Vec<AtomicBool>,
}

impl Images {
    fn new(pack: Arc<Pack>, entries: Vec<Entry>) -> Self {
        let checked = entries.iter().map(|_| AtomicBool::new(false)).collect();
        Self { pack, entries, checked }
    }

    /// The bytes of an image, or why it cannot be read.
    fn bytes(&self, index: usize) -> std::result::Result<&[u8], String> {
        let Entry { offset, length, checksum, ref file, .. } = self.entries[index];
        let bytes = &self.pack.bytes[offset as usize..][..length as usize];
        if !self.checked[index].load(Ordering::Relaxed) {
            let found = crc32fast::hash(bytes);
            if found != checksum {
                return Err(format!(
                    "`{}` is damaged: its checksum is {found:08x}, expected {checksum:08x}; run `data \
                     pack` again",
                    file.name
                ));
            }
            self.checked[index].store(true, Ordering::Relaxed);
        }
        Ok(bytes)
    }
}

/// Packed pixels.
#[derive(Debug)]
pub(super) struct PackedPixels {
    images: Images,
    shape: ImageShape,
}

impl PackedPixels {
    pub(super) fn new(pack: Arc<Pack>, entries: Vec<Entry>, shape: ImageShape) -> Self {
        Self { images: Images::new(pack, entries), shape }
    }
}

impl Source for PackedPixels {
    fn read<'a>(&'a self, index: usize, view: View, _: &'a mut Reader) -> Result<Picture<'a>> {
        let bytes = self.images.bytes(index).map_err(|reason| {
            Error::Image(BrokenFile { path: self.images.pack.path.clone(), line: None, reason })
        })?;
        let (fitted, original) = bytes.split_at(self.shape.values());
        Ok(match self.images.entries[index].original.filter(|_| view == View::Original) {
            Some([height, width]) => {
                Picture { pixels: original, height: height as usize, width: width as usize }
            }
            None => Picture::new(fitted, self.shape),
        })
    }

    fn pixels(&self, index: usize) -> Option<&[u8]> {
        self.images.bytes(index).ok().map(|bytes| &bytes[..self.shape.values()])
    }

    fn checksum(&self, index: usize) -> Option<u32> {
        Some(self.images.entries[index].pixels)
    }
}

/// Packed files.
#[derive(Debug)]
pub(super) struct PackedFiles(Images);

impl PackedFiles {
    pub(super) fn new(pack: Arc<Pack>, entries: Vec<Entry>) -> Self {
        Self(Images::new(pack, entries))
    }
}

impl EncodedFiles for PackedFiles {
    fn bytes<'a>(
        &'a self,
        index: usize,
        _: &'a mut Vec<u8>,
    ) -> std::result::Result<&'a [u8], String> {
        self.0.bytes(index)
    }

    fn place(&self, _: usize) -> (PathBuf, Option<u64>) {
        (self.0.pack.path.clone(), None)
    }

    fn checksum(&self, index: usize) -> Option<u32> {
        Some(self.0.entries[index].pixels)
    }
}
