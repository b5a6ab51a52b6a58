//! Strict safetensors files with a checksum.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use sd_weights::{Dtype, TensorView, WeightFile, serialize};
//!
//! let bias = TensorView::new(Dtype::F32, vec![2], &[0; 8])?;
//! let mut bytes = serialize(vec![("bias", bias)], HashMap::new())?;
//! assert_eq!(WeightFile::parse(&bytes)?.tensors.tensor("bias")?.shape(), [2]);
//!
//! *bytes.last_mut().unwrap() ^= 1;
//! assert!(WeightFile::parse(&bytes).unwrap_err().to_string().contains("checksum"));
//! # Ok::<(), sd_weights::Error>(())
//! ```
//!
//! A file is checked before a tensor is made of it: tensors lie within its bytes, have a type and
//! shape that this project uses, and match the checksum in the metadata. The crate does not need
//! libtorch, so that a fuzz target can link it.

use std::collections::{BTreeMap, HashMap};

use crc32fast::Hasher;
pub use safetensors::SafeTensorError;
pub use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Metadata key of the checksum of everything else in the file.
const CHECKSUM: &str = "checksum";

/// Bytes of the header's length; the header's end is a multiple of it.
const LENGTH: usize = size_of::<u64>();

/// An invalid file, or tensors that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a whole safetensors file.
    #[error(transparent)]
    Format(#[from] SafeTensorError),
    /// A header that is not JSON.
    #[error("header: {0}")]
    Header(serde_json::Error),
    /// A number format that this project does not use.
    #[error("{name} has type {found:?}, expected {expected}")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: Dtype,
        /// The accepted types.
        expected: String,
    },
    /// A file of `torch.save`.
    #[error(
        "a pickle of PyTorch, expected safetensors; convert it in Python: \
             `safetensors.torch.save_file(torch.load(\"FILE.pth\", weights_only=True), \"FILE.safetensors\")`"
    )]
    Pickle,
    /// A side beyond the range of `i64`.
    #[error("{name} has shape {shape:?}, expected sides below 2^63")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Contents that do not match the checksum.
    #[error("checksum is {found}, expected {expected}")]
    Checksum {
        /// The checksum of the contents.
        found: String,
        /// The checksum in the metadata.
        expected: String,
    },
}

/// A checked file.
#[derive(Debug)]
pub struct WeightFile<'a> {
    /// Views of the file's bytes.
    pub tensors: SafeTensors<'a>,
    /// Key and value pairs, without the checksum.
    pub metadata: HashMap<String, String>,
}

/// First bytes of files of `torch.save`: a zip archive, and before PyTorch 1.6 a pickle.
const PICKLES: [&[u8]; 2] = [b"PK\x03\x04", b"\x80\x02\x8a\x0a"];

impl<'a> WeightFile<'a> {
    /// Checks the bytes of a file of this project, whose tensors are F32 or I64. Without a checksum,
    /// as other programs write it, the contents are accepted as they are.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::parse_types(bytes, &[Dtype::F32, Dtype::I64])
    }

    /// Checks the bytes of a state dict, whose tensors may also be F16, BF16 or F64.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse_state_dict(bytes: &'a [u8]) -> Result<Self, Error> {
        let types = [Dtype::F32, Dtype::I64, Dtype::F16, Dtype::BF16, Dtype::F64];
        Self::parse_types(bytes, &types)
    }

    fn parse_types(bytes: &'a [u8], types: &[Dtype]) -> Result<Self, Error> {
        if PICKLES.iter().any(|start| bytes.starts_with(start)) {
            return Err(Error::Pickle);
        }
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let mut metadata = header.metadata().clone().unwrap_or_default();
        let tensors = SafeTensors::deserialize(bytes)?;
        for (name, view) in tensors.iter() {
            let (name, found) = (name.to_owned(), view.dtype());
            if !types.contains(&found) {
                let expected = types.iter().map(|known| format!("{known:?}")).collect::<Vec<_>>();
                return Err(Error::Type { name, found, expected: expected.join(" or ") });
            }
            // The length of the file bounds the other sides only if none of them is 0.
            if view.shape().iter().any(|&side| i64::try_from(side).is_err()) {
                return Err(Error::Shape { name, shape: view.shape().to_vec() });
            }
        }
        if let Some(expected) = metadata.remove(CHECKSUM) {
            let found = checksum(tensors.iter(), &metadata);
            if found != expected {
                return Err(Error::Checksum { found, expected });
            }
        }
        Ok(Self { tensors, metadata })
    }
}

/// Returns the bytes of a file with a checksum in its metadata. Equal contents are equal bytes.
///
/// # Errors
/// [`Error::Format`] if two tensors have the same name.
pub fn serialize(
    tensors: Vec<(&str, TensorView<'_>)>,
    mut metadata: HashMap<String, String>,
) -> Result<Vec<u8>, Error> {
    let checksum = checksum(tensors.iter().cloned(), &metadata);
    metadata.insert(CHECKSUM.to_owned(), checksum);
    with_sorted_header(&safetensors::serialize(tensors, Some(metadata))?).map_err(Error::Header)
}

/// CRC-32 of the tensors and the metadata, each in the order of their names.
fn checksum<'a>(
    tensors: impl Iterator<Item = (&'a str, TensorView<'a>)>,
    metadata: &HashMap<String, String>,
) -> String {
    let mut hasher = Hasher::new();
    for (name, tensor) in tensors.collect::<BTreeMap<_, _>>() {
        hasher.update(format!("{name} {:?} {:?}\n", tensor.dtype(), tensor.shape()).as_bytes());
        hasher.update(tensor.data());
    }
    for (key, value) in metadata.iter().collect::<BTreeMap<_, _>>() {
        hasher.update(format!("{key} {value}\n").as_bytes());
    }
    format!("crc32 {:08x}", hasher.finalize())
}

/// The file with the keys of its header sorted: `safetensors` writes the metadata in the order of a
/// hash map, which differs each time.
fn with_sorted_header(file: &[u8]) -> serde_json::Result<Vec<u8>> {
    let (length, rest) = file.split_at(LENGTH);
    let length = length.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let (header, data) = rest.split_at(length);
    let mut header = serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(header)?)?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat())
}
