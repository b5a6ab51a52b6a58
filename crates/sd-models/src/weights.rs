//! Tensors in safetensors files, strictly: the names, shapes and types of the network, no more
//! and no fewer, with the configuration and a checksum in the file's metadata.

mod checked;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor, nn};

use crate::{Error, Result};
use checked::{CHECKSUM, Checked, checksum};

/// Bytes of the header's length, which the header ends on a multiple of.
const LENGTH: usize = size_of::<u64>();

/// Named tensors, and the file's metadata.
#[derive(Debug)]
pub struct TensorFile {
    /// The tensors, on the CPU.
    pub tensors: BTreeMap<String, Tensor>,
    /// Key and value pairs.
    pub metadata: HashMap<String, String>,
}

/// The network's variables by name: parameters and running statistics.
pub fn variables(vs: &nn::VarStore) -> BTreeMap<String, Tensor> {
    vs.variables().into_iter().collect()
}

impl TensorFile {
    /// Reads a whole file. One that another program wrote has no checksum and is read as it is.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] if it is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let damaged = |reason: String| Error::Format { path: path.to_owned(), reason };
        let Checked { file, metadata } = Checked::new(&bytes).map_err(damaged)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let kind = if view.dtype() == Dtype::I64 { Kind::Int64 } else { Kind::Float };
            let size: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &size, kind)
                .map_err(|error| damaged(format!("{name}: {error}")))?;
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors, metadata })
    }

    /// The file, with a checksum in its metadata. Equal contents are equal bytes.
    ///
    /// # Errors
    /// [`Error::Encode`] if a tensor cannot be copied to the CPU.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |reason: String| Error::Encode { reason };
        let plain = self.tensors.iter().map(|(name, tensor)| Ok((name, Plain::of(tensor)?)));
        let plain: Vec<(&String, Plain)> = plain
            .collect::<std::result::Result<_, tch::TchError>>()
            .map_err(|error| failed(error.to_string()))?;
        let views = plain.iter().map(|(name, plain)| Ok((name.as_str(), plain.view()?)));
        let views: Vec<(&str, TensorView<'_>)> = views
            .collect::<std::result::Result<_, safetensors::SafeTensorError>>()
            .map_err(|error| failed(error.to_string()))?;
        let mut metadata = self.metadata.clone();
        let checksum = checksum(views.iter().map(|(name, view)| (*name, view.clone())), &metadata);
        metadata.insert(CHECKSUM.to_owned(), checksum);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|error| failed(error.to_string()))?;
        sorted(&bytes).map_err(|error| failed(error.to_string()))
    }

    /// Copies the tensors into `targets` of the same names, shapes and types.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the tensors that are missing, left over or of another shape;
    /// nothing is copied then. `path` is for the message.
    pub fn copy_into(&self, targets: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
        let differences = self.differences(targets);
        if !differences.is_empty() {
            let difference = listed(&differences);
            return Err(Error::Mismatch { path: path.to_owned(), difference });
        }
        tch::no_grad(|| {
            for (name, target) in targets {
                target.shallow_clone().copy_(&self.tensors[name]);
            }
        });
        Ok(())
    }

    fn differences(&self, targets: &BTreeMap<String, Tensor>) -> Vec<String> {
        let differs = |(name, target): (&String, &Tensor)| {
            let Some(found) = self.tensors.get(name) else {
                return Some(format!("{name} is missing"));
            };
            let same = found.size() == target.size() && found.kind() == target.kind();
            let said = |tensor: &Tensor| format!("{:?} {:?}", tensor.kind(), tensor.size());
            (!same).then(|| format!("{name} is {}, expected {}", said(found), said(target)))
        };
        let surplus = self.tensors.keys().filter(|name| !targets.contains_key(*name));
        let surplus = surplus.map(|name| format!("the network has no {name}"));
        targets.iter().filter_map(differs).chain(surplus).collect()
    }
}

/// The first of the differences, and how many more there are: a file of another network differs
/// in all its tensors.
fn listed(differences: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = differences[..differences.len().min(SHOWN)].join("; ");
    match differences.len() - differences.len().min(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// The file with the keys of its header sorted: `safetensors` leaves the metadata in the order of
/// a hash map, which differs each time.
fn sorted(file: &[u8]) -> serde_json::Result<Vec<u8>> {
    let (length, rest) = file.split_at(LENGTH);
    let length = length.iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    let (header, data) = rest.split_at(length);
    let mut header = serde_json::to_vec(&serde_json::from_slice::<serde_json::Value>(header)?)?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat())
}

/// A tensor's bytes in row-major order on the CPU.
struct Plain {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Plain {
    fn of(tensor: &Tensor) -> std::result::Result<Self, tch::TchError> {
        let dtype = match tensor.kind() {
            Kind::Int64 => Dtype::I64,
            _ => Dtype::F32,
        };
        let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
        let numel = tensor.numel();
        let mut bytes = vec![0; numel * if dtype == Dtype::I64 { 8 } else { 4 }];
        tensor.f_copy_data_u8(&mut bytes, numel)?;
        let shape = tensor.size().iter().map(|&side| side as usize).collect();
        Ok(Self { dtype, shape, bytes })
    }

    fn view(&self) -> std::result::Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}
