//! Tensors in safetensors files, strictly: the names, shapes and types of the network, no more
//! and no fewer, with the configuration in the file's metadata.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor, nn};

use crate::{Error, Result};

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
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] if it is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let damaged = |reason: String| Error::Format { path: path.to_owned(), reason };
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let kind = match view.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::I64 => Kind::Int64,
                other => {
                    return Err(damaged(format!("{name} has type {other:?}, expected F32 or I64")));
                }
            };
            let size: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &size, kind)
                .map_err(|error| damaged(format!("{name}: {error}")))?;
            tensors.insert(name.to_owned(), tensor);
        }
        Ok(Self { tensors, metadata })
    }

    /// Writes the file whole or not at all: beside it first, synced, then renamed.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; a file that was there stays as it was.
    pub fn write(&self, path: &Path) -> Result<()> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let views = self.tensors.iter().map(|(name, tensor)| Ok((name, Plain::of(tensor)?)));
        let plain: Vec<(&String, Plain)> = views
            .collect::<std::result::Result<_, tch::TchError>>()
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let views = plain
            .iter()
            .map(|(name, plain)| Ok((name.as_str(), plain.view()?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
        let bytes = views
            .and_then(|views| safetensors::serialize(views, Some(self.metadata.clone())))
            .map_err(|error| failed(std::io::Error::other(error.to_string())))?;

        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // A temporary file is its owner's alone; this one is to be as open as the user's mask says.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Copies the tensors into `targets` of the same names, shapes and types.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the first tensor that is missing, left over or of another shape;
    /// nothing is copied then. `path` is for the message.
    pub fn copy_into(&self, targets: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
        if let Some(difference) = self.difference(targets) {
            return Err(Error::Mismatch { path: path.to_owned(), difference });
        }
        tch::no_grad(|| {
            for (name, target) in targets {
                target.shallow_clone().copy_(&self.tensors[name]);
            }
        });
        Ok(())
    }

    fn difference(&self, targets: &BTreeMap<String, Tensor>) -> Option<String> {
        for (name, target) in targets {
            let Some(found) = self.tensors.get(name) else {
                return Some(format!("{name} is missing"));
            };
            if found.size() != target.size() || found.kind() != target.kind() {
                return Some(format!(
                    "{name} is {:?} {:?}, expected {:?} {:?}",
                    found.kind(),
                    found.size(),
                    target.kind(),
                    target.size()
                ));
            }
        }
        let surplus = self.tensors.keys().find(|name| !targets.contains_key(*name))?;
        Some(format!("the network has no {surplus}"))
    }
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
