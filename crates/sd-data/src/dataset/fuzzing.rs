//! Entry points for `fuzz/`: the parsers of untrusted files, on bytes in memory.

use super::cifar::{CIFAR10, CIFAR100, Member, SHAPE};
use super::{csv_manifest, idx, shards};
use crate::Error;
pub use crate::pack::fuzzing::packed;
use flate2::read::GzDecoder;
use std::io::{Cursor, Read};
use std::path::{Component, Path};

/// File name in errors.
pub(crate) const NAME: &str = "some.file";

pub(crate) fn assert_names_the_file(error: &Error) {
    assert!(error.to_string().contains(NAME), "{error}");
}

/// Records of CIFAR-10 and CIFAR-100.
pub fn cifar(bytes: &[u8]) {
    let member = Member { path: NAME.into(), bytes: bytes.to_vec() };
    for cifar in [CIFAR10, CIFAR100] {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        match cifar.parse(&member, &mut pixels, &mut labels) {
            Ok(()) => assert_eq!(pixels.len(), labels.len() * SHAPE.values()),
            Err(error) => assert_names_the_file(&error),
        }
    }
}

/// A tar file of CIFAR-100, with two classes and no images.
pub fn cifar_archive(bytes: &[u8]) {
    let empty = CIFAR100.empty();
    let unpacked = empty.unpack(bytes, Path::new(NAME));
    if let Err(error) = unpacked.and_then(|members| empty.splits(&members)) {
        assert_names_the_file(&error);
    }
}

/// An IDX file of 2×3 images or of labels, plain or gzip, as selected by the first byte.
pub fn idx(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let reader: Box<dyn Read> =
        if kind & 1 == 0 { Box::new(bytes) } else { Box::new(GzDecoder::new(bytes)) };
    let (magic, sides): (_, &[usize]) =
        if kind & 2 == 0 { (idx::IMAGES, &[2, 3]) } else { (idx::LABELS, &[]) };
    match idx::parse(reader, Path::new(NAME), magic, sides) {
        Ok((count, items)) => assert_eq!(items.len(), count * sides.iter().product::<usize>()),
        Err(error) => assert_names_the_file(&error),
    }
}

/// A CSV file of image files.
pub fn csv_manifest(bytes: &[u8]) {
    match csv_manifest::parse(bytes, Path::new(NAME)) {
        Ok(rows) => {
            for row in rows {
                let mut parts = Path::new(&row.path).components();
                assert!(!parts.any(|part| part == Component::ParentDir), "{row:?}");
                assert!(Path::new(&row.path).is_relative(), "{row:?}");
            }
        }
        Err(error) => assert_names_the_file(&error),
    }
}

/// A shard of WebDataset, with labels of two classes.
pub fn shard(bytes: &[u8]) {
    let size = bytes.len() as u64;
    match shards::index::parse(Cursor::new(bytes), size, Path::new(NAME), 2) {
        Ok(members) => {
            for member in members {
                assert!(member.label < 2 && member.offset + member.length <= size, "{member:?}");
            }
        }
        Err(error) => assert_names_the_file(&error),
    }
}
