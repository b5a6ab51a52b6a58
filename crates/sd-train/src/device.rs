//! The device a command computes on, and loading libtorch's CUDA part where there is one.

#![allow(unsafe_code, reason = "a library is loaded")]

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tch::{Cuda, Device};

use crate::cli::DeviceChoice;

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
