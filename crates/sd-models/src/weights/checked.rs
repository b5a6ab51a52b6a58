//! What is checked of a safetensors file before a tensor is made of it.
//!
//! A file that depends on crc32fast and safetensors alone: `fuzz/` compiles it too, without tch.

use std::collections::{BTreeMap, HashMap};

use crc32fast::Hasher;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// The metadata's key of the checksum of all else in the file.
pub const CHECKSUM: &str = "checksum";

/// A file whose tensors lie within its bytes, have a type and sides that this project takes, and
/// sum up to the checksum, if one is written.
#[derive(Debug)]
pub struct Checked<'a> {
    /// Views of the bytes.
    pub file: SafeTensors<'a>,
    /// Key and value pairs, without the checksum.
    pub metadata: HashMap<String, String>,
}

impl<'a> Checked<'a> {
    /// Checks the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let said = |error: safetensors::SafeTensorError| error.to_string();
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(said)?;
        let mut metadata = header.metadata().clone().unwrap_or_default();
        let file = SafeTensors::deserialize(bytes).map_err(said)?;
        for (name, view) in file.iter() {
            if !matches!(view.dtype(), Dtype::F32 | Dtype::I64) {
                return Err(format!("{name} has type {:?}, expected F32 or I64", view.dtype()));
            }
            // A tensor without elements may have any other side.
            if view.shape().iter().any(|&side| i64::try_from(side).is_err()) {
                return Err(format!("{name} has the sides {:?}", view.shape()));
            }
        }
        if let Some(written) = metadata.remove(CHECKSUM) {
            let found = checksum(file.iter(), &metadata);
            if written != found {
                return Err(format!("its checksum is {found}, written was {written}"));
            }
        }
        Ok(Self { file, metadata })
    }
}

/// CRC-32 of the tensors and the metadata, each in the order of their names.
pub fn checksum<'a>(
    tensors: impl Iterator<Item = (&'a str, TensorView<'a>)>,
    metadata: &HashMap<String, String>,
) -> String {
    let mut hasher = Hasher::new();
    let tensors: BTreeMap<&str, TensorView<'_>> = tensors.collect();
    for (name, tensor) in tensors {
        hasher.update(format!("{name} {:?} {:?}\n", tensor.dtype(), tensor.shape()).as_bytes());
        hasher.update(tensor.data());
    }
    for (key, value) in metadata.iter().collect::<BTreeMap<_, _>>() {
        hasher.update(format!("{key} {value}\n").as_bytes());
    }
    format!("crc32 {:08x}", hasher.finalize())
}
