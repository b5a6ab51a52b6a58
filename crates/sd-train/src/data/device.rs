//! The device that computes: its choice, libtorch's CUDA library, copies to it.

#![allow(unsafe_code, reason = "a library is loaded")]

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tch::{Cuda, Device, Tensor};

use sd_cli::DeviceChoice;
use sd_distributed::Processes;

/// Resolves the choice of a device.
///
/// # Errors
/// If the CUDA device of that number does not exist.
pub fn resolve(choice: DeviceChoice) -> Result<Device> {
    if choice == DeviceChoice::Cpu {
        return Ok(Device::Cpu);
    }
    load_cuda();
    let count = if Cuda::is_available() { Cuda::device_count() as usize } else { 0 };
    if count > 0 {
        // All batches have one size: a convolution's algorithms are tried once, and the fastest kept.
        Cuda::cudnn_set_benchmark(true);
        sd_layers::allow_tf32();
    }
    match choice {
        DeviceChoice::Cuda(index) => {
            ensure!(
                index < count,
                "no device cuda:{index}: libtorch found {count} CUDA devices; see `cargo xtask doctor`"
            );
            Ok(Device::Cuda(index))
        }
        DeviceChoice::Auto | DeviceChoice::Cpu => {
            Ok(if count > 0 { Device::Cuda(0) } else { Device::Cpu })
        }
    }
}

/// The device of one of several processes: of `auto`, the CUDA device of its rank on this machine.
pub fn of_process(choice: DeviceChoice, processes: &Processes) -> DeviceChoice {
    let Some(place) = processes.place().filter(|_| choice == DeviceChoice::Auto) else {
        return choice;
    };
    load_cuda();
    if Cuda::is_available() { DeviceChoice::Cuda(place.local_rank) } else { choice }
}

/// Copies a tensor from host memory to `device`. A copy to CUDA is asynchronous, from pinned memory.
pub(crate) fn put(tensor: Tensor, device: Device) -> Tensor {
    if device == Device::Cpu {
        return tensor;
    }
    // libtorch keeps the pinned memory until the copy is done.
    tensor.pin_memory(device).to_device_(device, tensor.kind(), true, false)
}

/// Loads `libtorch_cuda.so` from the folder of the libtorch in use or from an absolute folder in
/// `LD_LIBRARY_PATH`, if it exists. It registers its kernels with libtorch, so it is loaded before the first use of CUDA and
/// stays loaded.
#[cfg(target_os = "linux")]
fn load_cuda() {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    let loaded = loaded_libtorch();
    let searched = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // A relative folder, or an empty one, is the current folder's, which may be anyone's.
    let searched = std::env::split_paths(&searched).filter(|folder| folder.is_absolute());
    let folders = loaded.into_iter().chain(searched);
    let Some(library) =
        folders.map(|folder| folder.join("libtorch_cuda.so")).find(|path| path.is_file())
    else {
        return;
    };
    // SAFETY: the library is libtorch's own; its initialisers only register kernels.
    match unsafe { Library::open(Some(&library), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(handle) => std::mem::forget(handle),
        Err(error) => tracing::warn!("cannot load {}: {error}", library.display()),
    }
}

#[cfg(not(target_os = "linux"))]
fn load_cuda() {}

/// The folder of the `libtorch_cpu` that this process has loaded.
#[cfg(target_os = "linux")]
fn loaded_libtorch() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = &line[line.find('/')?..];
    Path::new(path).parent().map(Path::to_owned)
}

/// Name of the device in records.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
