//! Which wheels hold libtorch for a platform, and what of them is needed.

use super::VERSION;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// What a libtorch can compute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The CPU: the wheel's CUDA part, which is 3 GB with what it needs, is left out
    Cpu,
    /// The CPU and CUDA
    Cuda,
}

impl Flavour {
    /// The name of the folder in the user's cache.
    pub fn folder_name(self) -> String {
        match self {
            Self::Cpu => format!("libtorch-{VERSION}-cpu"),
            Self::Cuda => format!("libtorch-{VERSION}-cuda"),
        }
    }

    /// What `build-version` says; the build script of `torch-sys` reads it.
    pub fn build_version(self) -> String {
        match self {
            Self::Cpu => format!("{VERSION}+cpu"),
            Self::Cuda => format!("{VERSION}+cu130"),
        }
    }

    /// Bytes that have to be free for the wheels and what is unpacked from them.
    pub fn bytes_needed(self) -> u64 {
        match self {
            Self::Cpu => 2_000_000_000,
            Self::Cuda => 10_000_000_000,
        }
    }
}

/// A platform that has wheels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Linux with glibc, by its architecture: x86_64, which is tried, and aarch64, which is not
    Linux(&'static str),
    /// Apple silicon; not tried
    AppleSilicon,
}

impl Platform {
    /// The platform by the names that Rust's standard library has for it.
    pub fn of(os: &str, architecture: &str) -> Result<Self> {
        match (os, architecture) {
            ("linux", "x86_64") => Ok(Self::Linux("x86_64")),
            ("linux", "aarch64") => Ok(Self::Linux("aarch64")),
            ("macos", "aarch64") => Ok(Self::AppleSilicon),
            _ => bail!(
                "found {os} on {architecture}; libtorch {VERSION} can be fetched for Linux on \
                 x86_64 (tried), Linux on aarch64 and macOS on Apple silicon (not tried). Elsewhere, \
                 build libtorch {VERSION} and set LIBTORCH to its folder"
            ),
        }
    }

    /// The platform tags that wheels may carry.
    pub fn tags(self) -> Vec<String> {
        match self {
            // pip takes a tag as it is written: an older glibc, which is right too, has to be named.
            Self::Linux(architecture) => (17..=28)
                .rev()
                .map(|minor| format!("manylinux_2_{minor}_{architecture}"))
                .chain([format!("manylinux2014_{architecture}")])
                .collect(),
            Self::AppleSilicon => vec!["macosx_11_0_arm64".to_owned()],
        }
    }

    /// The wheels, as pip takes them; for CUDA, pip adds what they require.
    pub fn requirements(self, flavour: Flavour) -> Result<Vec<String>> {
        let torch = format!("torch=={VERSION}");
        match (self, flavour) {
            // libtorch_cpu.so of the CUDA build does not load without these two.
            (Self::Linux(_), Flavour::Cpu) => Ok(vec![
                torch,
                "nvidia-cuda-cupti==13.0.85".to_owned(),
                "nvidia-cuda-runtime==13.0.96".to_owned(),
            ]),
            (Self::Linux(_), Flavour::Cuda) | (Self::AppleSilicon, Flavour::Cpu) => Ok(vec![torch]),
            (Self::AppleSilicon, Flavour::Cuda) => bail!("there is no CUDA on macOS"),
        }
    }

    /// Where a wheel's file goes inside the libtorch folder, if it is needed.
    pub fn place(self, entry: &str, flavour: Flavour) -> Option<PathBuf> {
        if let Some(header) = entry.strip_prefix("torch/include/") {
            return (!header.is_empty()).then(|| Path::new("include").join(header));
        }
        let (folder, name) = entry.rsplit_once('/')?;
        let library = match self {
            Self::Linux(_) => name.ends_with(".so") || name.contains(".so."),
            Self::AppleSilicon => name.ends_with(".dylib"),
        };
        let needed = library
            && match folder {
                "torch/lib" => self.needs_of_torch(name, flavour),
                _ if folder.starts_with("nvidia/") && folder.ends_with("/lib") => match flavour {
                    Flavour::Cpu => name.starts_with("libcupti.") || name.starts_with("libcudart."),
                    Flavour::Cuda => true,
                },
                _ => false,
            };
        // One folder holds all: each library looks for the others beside itself.
        needed.then(|| Path::new("lib").join(name))
    }

    fn needs_of_torch(self, name: &str, flavour: Flavour) -> bool {
        const FOR_PYTHON: [&str; 3] = ["libtorch_python.", "libtorch_global_deps.", "libshm."];
        const FOR_CUDA: [&str; 3] = ["cuda", "nvrtc", "nvshmem"];
        // On Linux, `libtorch.so` drags the CUDA part in; a linker script takes its place.
        let replaced = matches!(self, Self::Linux(_)) && name == "libtorch.so";
        !replaced
            && !FOR_PYTHON.iter().any(|prefix| name.starts_with(prefix))
            && (flavour == Flavour::Cuda || !FOR_CUDA.iter().any(|part| name.contains(part)))
    }

    /// Our own `lib/libtorch.so`: the name that `torch-sys` links, for what it needs of it.
    pub fn linker_script(self) -> Option<&'static str> {
        match self {
            Self::Linux(_) => Some("INPUT(libtorch_cpu.so libc10.so)\n"),
            Self::AppleSilicon => None,
        }
    }

    /// Files that a whole folder has, by their path inside it.
    pub fn essential(self, flavour: Flavour) -> Vec<&'static str> {
        let mut files = match self {
            Self::Linux(_) => vec![
                "lib/libtorch_cpu.so",
                "lib/libc10.so",
                "lib/libcupti.so.13",
                "lib/libcudart.so.13",
            ],
            Self::AppleSilicon => {
                vec!["lib/libtorch_cpu.dylib", "lib/libc10.dylib", "lib/libtorch.dylib"]
            }
        };
        if flavour == Flavour::Cuda {
            files.extend(["lib/libtorch_cuda.so", "lib/libc10_cuda.so"]);
        }
        files.push("include/torch/csrc/api/include/torch/torch.h");
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Platform = Platform::Linux("x86_64");

    fn place(platform: Platform, entry: &str, flavour: Flavour) -> Option<String> {
        platform.place(entry, flavour).map(|path| path.display().to_string())
    }

    #[test]
    fn a_platform_without_wheels_is_told_what_has_them() {
        let error = Platform::of("linux", "riscv64").unwrap_err().to_string();
        assert!(error.contains("found linux on riscv64") && error.contains("LIBTORCH"), "{error}");
        assert!(Platform::of("macos", "x86_64").is_err());
        assert_eq!(Platform::of("linux", "x86_64").unwrap(), LINUX);
    }

    #[test]
    fn the_cpu_part_of_the_wheels_is_kept() {
        let kept = |entry: &str| place(LINUX, entry, Flavour::Cpu);
        for (entry, to) in [
            ("torch/include/ATen/ATen.h", "include/ATen/ATen.h"),
            ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
            ("torch/lib/libc10.so", "lib/libc10.so"),
            ("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
            ("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13"),
            ("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13"),
        ] {
            assert_eq!(kept(entry).as_deref(), Some(to));
        }
        for entry in [
            "torch/include/",
            "torch/lib/libtorch.so",
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libc10_cuda.so",
            "torch/lib/libcaffe2_nvrtc.so",
            "torch/lib/libtorch_nvshmem.so",
            "torch/lib/libtorch_python.so",
            "torch/_C.cpython-311-x86_64-linux-gnu.so",
            "nvidia/cu13/lib/libnvperf_host.so",
            "torch/version.py",
            "README.md",
        ] {
            assert_eq!(kept(entry), None, "{entry}");
        }
    }

    #[test]
    fn the_cuda_part_is_kept_when_asked_for() {
        let kept = |entry: &str| place(LINUX, entry, Flavour::Cuda);
        assert!(kept("torch/lib/libtorch_cuda.so").is_some());
        assert!(kept("nvidia/cudnn/lib/libcudnn.so.9").is_some());
        assert_eq!(kept("torch/lib/libtorch.so"), None);
        assert!(Platform::AppleSilicon.requirements(Flavour::Cuda).is_err());
    }

    #[test]
    fn apple_silicon_keeps_its_own_libtorch() {
        let kept = |entry: &str| place(Platform::AppleSilicon, entry, Flavour::Cpu);
        assert_eq!(kept("torch/lib/libtorch.dylib").as_deref(), Some("lib/libtorch.dylib"));
        assert_eq!(kept("torch/lib/libtorch_python.dylib"), None);
        assert_eq!(Platform::AppleSilicon.linker_script(), None);
    }
}
