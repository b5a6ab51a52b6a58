//! Tensors in safetensors files, read strictly: exactly the names, shapes and types of the network,
//! with the configuration and a checksum in the file's metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use sd_weights::{Dtype, SafeTensorError, TensorView, WeightFile, serialize};
use tch::{Device, Kind, TchError, Tensor, nn};

use crate::{Error, Result};

/// Prefixes of names in the state dicts of `DataParallel`, of Lightning and of `torch.compile`.
const WRAPPERS: [&str; 3] = ["module.", "model.", "_orig_mod."];

/// Named tensors, and the file's metadata.
#[derive(Debug)]
pub struct TensorFile {
    /// The tensors, on the CPU.
    pub tensors: BTreeMap<String, Tensor>,
    /// Key and value pairs.
    pub metadata: HashMap<String, String>,
}

/// Returns the network's variables by name: parameters and running statistics.
pub fn variables(vs: &nn::VarStore) -> BTreeMap<String, Tensor> {
    vs.variables().into_iter().collect()
}

impl TensorFile {
    /// Reads a file. Without a checksum, as other programs write it, it is read as it is.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] if it is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, |bytes| WeightFile::parse(bytes))
    }

    /// Reads a state dict of PyTorch. F16, BF16 and F64 become F32. Also returns the prefix, empty if
    /// there is none, that a wrapper put before the names of all tensors, and that is removed.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub fn read_state_dict(path: &Path) -> Result<(Self, String)> {
        let mut file = Self::read_with(path, |bytes| WeightFile::parse_state_dict(bytes))?;
        let mut removed = String::new();
        while let Some(prefix) = WRAPPERS.iter().find(|&&prefix| file.all_start_with(prefix)) {
            let names = file.tensors.into_iter();
            file.tensors =
                names.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
            removed.push_str(prefix);
        }
        Ok((file, removed))
    }

    fn all_start_with(&self, prefix: &str) -> bool {
        !self.tensors.is_empty() && self.tensors.keys().all(|name| name.starts_with(prefix))
    }

    fn read_with(
        path: &Path,
        parse: impl for<'a> Fn(&'a [u8]) -> std::result::Result<WeightFile<'a>, sd_weights::Error>,
    ) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|cause| Error::File { path: path.to_owned(), cause })?;
        let damaged = |reason: String| Error::Format { path: path.to_owned(), reason };
        let file = parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors.tensors() {
            let kind = match view.dtype() {
                Dtype::I64 => Kind::Int64,
                Dtype::F16 => Kind::Half,
                Dtype::BF16 => Kind::BFloat16,
                Dtype::F64 => Kind::Double,
                _ => Kind::Float,
            };
            let size: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &size, kind)
                .map_err(|error| damaged(format!("{name}: {error}")))?;
            let tensor = if kind == Kind::Int64 { tensor } else { tensor.to_kind(Kind::Float) };
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors, metadata: file.metadata })
    }

    /// Checks that all values are finite, and that no running variance is negative. `path` is for the
    /// message.
    ///
    /// # Errors
    /// [`Error::Value`] names the first tensor for which this does not hold.
    pub fn check_values(&self, path: &Path) -> Result<()> {
        for (name, tensor) in &self.tensors {
            let wrong = |found, expected| {
                let (path, name) = (path.to_owned(), name.clone());
                Err(Error::Value { path, name, found, expected })
            };
            if tensor.isfinite().all().int64_value(&[]) == 0 {
                return wrong("NaN or infinite values", "finite ones");
            }
            let is_variance = name.ends_with("running_var");
            if is_variance && tensor.numel() > 0 && tensor.min().double_value(&[]) < 0.0 {
                return wrong("negative values", "variances of at least 0");
            }
        }
        Ok(())
    }

    /// Returns the bytes of the file, with a checksum in its metadata. Equal contents are equal
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Encode`] if a tensor cannot be copied to the CPU.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let copied = self.tensors.iter().map(|(name, tensor)| Ok((name, RowMajor::of(tensor)?)));
        let copied: Vec<(&String, RowMajor)> =
            copied.collect::<std::result::Result<_, TchError>>().map_err(encode_error)?;
        let views = copied.iter().map(|(name, tensor)| Ok((name.as_str(), tensor.view()?)));
        let views: Vec<(&str, TensorView<'_>)> =
            views.collect::<std::result::Result<_, SafeTensorError>>().map_err(encode_error)?;
        serialize(views, self.metadata.clone()).map_err(encode_error)
    }

    /// Copies the tensors into `targets` of the same names, shapes and types.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the tensors that are missing, unexpected or of another shape;
    /// then nothing is copied. `path` is for the message.
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
            let described = |tensor: &Tensor| format!("{:?} {:?}", tensor.kind(), tensor.size());
            (!same)
                .then(|| format!("{name} is {}, expected {}", described(found), described(target)))
        };
        let unexpected = self.tensors.keys().filter(|name| !targets.contains_key(*name));
        let unexpected = unexpected.map(|name| format!("the network has no {name}"));
        targets.iter().filter_map(differs).chain(unexpected).collect()
    }
}

/// The first differences and the number of the others: a file of another network differs in all its
/// tensors.
fn listed(differences: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown = differences[..differences.len().min(SHOWN)].join("; ");
    match differences.len() - differences.len().min(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

fn encode_error(error: impl std::fmt::Display) -> Error {
    Error::Encode { reason: error.to_string() }
}

/// A tensor's bytes in row-major order on the CPU.
struct RowMajor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl RowMajor {
    fn of(tensor: &Tensor) -> std::result::Result<Self, TchError> {
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

    fn view(&self) -> std::result::Result<TensorView<'_>, SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}
