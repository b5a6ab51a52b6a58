//! The device a command computes on: loading libtorch's CUDA part where there is one, and bringing
//! tensors there.

#![allow(unsafe_code, reason = "a library is loaded")]

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tch::{Cuda, Device, Tensor};

use sd_cli::DeviceChoice;

/// Turns a choice into a device.
///
/// # Errors
/// If a CUDA device was asked for by number and is not there.
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
                "no device cuda:{index}: libtorch sees {count} CUDA devices (`cargo xtask doctor` says more)"
            );
            Ok(Device::Cuda(index))
        }
        DeviceChoice::Auto | DeviceChoice::Cpu => {
            Ok(if count > 0 { Device::Cuda(0) } else { Device::Cpu })
        }
    }
}

/// A tensor of the host's memory on `device`. A copy to CUDA starts from pinned memory, in the order
/// of the device's work, and nobody waits for it.
pub fn put(tensor: Tensor, device: Device) -> Tensor {
    if device == Device::Cpu {
        return tensor;
    }
    // libtorch keeps the pinned memory until the copy is done.
    tensor.pin_memory(device).to_device_(device, tensor.kind(), true, false)
}

/// Loads `libtorch_cuda.so` where the libtorch in use, or a folder of `LD_LIBRARY_PATH`, has it.
/// It registers itself with libtorch when it is loaded, so it has to come before the first use of
/// CUDA, and stays for the life of the process.
#[cfg(target_os = "linux")]
fn load_cuda() {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    let beside = loaded_libtorch();
    let searched = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&searched));
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

/// What records call the device.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
