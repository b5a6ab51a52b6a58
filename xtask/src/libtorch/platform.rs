//! The wheels that contain libtorch for each platform, and the files required of them.

use super::VERSION;
use anyhow::{Result, bail};
use std::path::{Component, Path, PathBuf};

/// Devices that a libtorch supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The CPU; leaves out the CUDA libraries, which take 3 GB with their dependencies.
    Cpu,
    /// The CPU and CUDA.
    Cuda,
}

impl Flavour {
    /// Both flavours.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::Cuda];

    /// Name of the folder in the user's cache.
    pub fn folder_name(self) -> String {
        let device = if self == Self::Cpu { "cpu" } else { "cuda" };
        format!("libtorch-{VERSION}-{device}")
    }

    /// Text of `build-version`, which the build script of `torch-sys` checks.
    pub fn build_version(self) -> String {
        let device = if self == Self::Cpu { "cpu" } else { "cu130" };
        format!("{VERSION}+{device}")
    }

    /// Disk space for the wheels and their unpacked files.
    pub const fn gigabytes(self) -> u64 {
        if matches!(self, Self::Cpu) { 2 } else { 10 }
    }
}

/// A platform for which wheels are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Linux with glibc on this architecture: x86_64 (tested) or aarch64 (untested).
    Linux(&'static str),
    /// macOS on Apple silicon (untested).
    AppleSilicon,
}

impl Platform {
    /// The platform of an operating system and architecture, by their names in [`std::env::consts`].
    ///
    /// # Errors
    /// If no wheels are published for it.
    pub fn new(os: &str, architecture: &str) -> Result<Self> {
        match (os, architecture) {
            ("linux", "x86_64") => Ok(Self::Linux("x86_64")),
            ("linux", "aarch64") => Ok(Self::Linux("aarch64")),
            ("macos", "aarch64") => Ok(Self::AppleSilicon),
            _ => bail!(
                "found {os} on {architecture}, expected Linux on x86_64, Linux on aarch64 \
                 (untested) or macOS on Apple silicon (untested) to download libtorch {VERSION}; \
                 elsewhere, build libtorch {VERSION} and set LIBTORCH to its folder"
            ),
        }
    }

    /// Platform tags of the wheels.
    pub fn tags(self) -> Vec<String> {
        match self {
            // pip matches tags literally, so the compatible tags of older glibc are listed too.
            Self::Linux(architecture) => (17..=28)
                .rev()
                .map(|minor| format!("manylinux_2_{minor}_{architecture}"))
                .chain([format!("manylinux2014_{architecture}")])
                .collect(),
            Self::AppleSilicon => vec!["macosx_11_0_arm64".to_owned()],
        }
    }

    /// Requirements for pip: every wheel with its SHA-256.
    pub fn requirements(self, flavour: Flavour) -> Result<&'static str> {
        match (self, flavour) {
            (_, Flavour::Cpu) => Ok(include_str!("requirements/cpu.txt")),
            (Self::Linux(_), Flavour::Cuda) => Ok(include_str!("requirements/cuda.txt")),
            (Self::AppleSilicon, Flavour::Cuda) => bail!("macOS has no CUDA; omit --cuda"),
        }
    }

    /// Path inside the libtorch folder of a wheel's file; `None` if it is not required.
    pub fn destination(self, entry: &Path, flavour: Flavour) -> Option<PathBuf> {
        // Joined with the folder, a path from the root, as after the `//` in `a//b`, would replace it.
        let name = |part: Component| match part {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            _ => None,
        };
        let entry = &*entry.components().map(name).collect::<Option<Vec<_>>>()?.join("/");
        if let Some(header) = entry.strip_prefix("torch/include/") {
            return Some(Path::new("include").join(header));
        }
        if let (Some(of_nvidia), Flavour::Cuda) = (entry.strip_prefix("nvidia/"), flavour)
            && let Some((_, header)) = of_nvidia.split_once("/include/")
        {
            return Some(Path::new("include/cuda").join(header));
        }
        let (folder, name) = entry.rsplit_once('/')?;
        let of_nvidia = folder.starts_with("nvidia/") && folder.ends_with("/lib");
        let required = match (folder, flavour) {
            ("torch/lib", _) => self.requires_of_torch(name, flavour),
            (_, Flavour::Cpu) => {
                of_nvidia && (name.starts_with("libcupti.") || name.starts_with("libcudart."))
            }
            (_, Flavour::Cuda) => of_nvidia,
        };
        let is_library = name.contains(".so") || name.ends_with(".dylib");
        // One folder for all: each library searches its own folder for the others.
        (required && is_library).then(|| Path::new("lib").join(name))
    }

    fn requires_of_torch(self, name: &str, flavour: Flavour) -> bool {
        const PYTHON: [&str; 3] = ["libtorch_python.", "libtorch_global_deps.", "libshm."];
        const CUDA: [&str; 3] = ["cuda", "nvrtc", "nvshmem"];
        // On Linux, a linker script takes the place of libtorch.so, which depends on CUDA.
        let replaced = self != Self::AppleSilicon && name == "libtorch.so";
        !replaced
            && !PYTHON.iter().any(|prefix| name.starts_with(prefix))
            && (flavour == Flavour::Cuda || !CUDA.iter().any(|part| name.contains(part)))
    }

    /// Linker script that replaces `lib/libtorch.so`, the name that `torch-sys` links.
    pub const fn linker_script(self) -> Option<&'static str> {
        match self {
            Self::Linux(_) => Some("INPUT(libtorch_cpu.so libc10.so)\n"),
            Self::AppleSilicon => None,
        }
    }

    /// The main library of a flavour, by its path inside the libtorch folder.
    pub const fn main_library(self, flavour: Flavour) -> &'static str {
        match (self, flavour) {
            (Self::AppleSilicon, _) => "lib/libtorch_cpu.dylib",
            (_, Flavour::Cpu) => "lib/libtorch_cpu.so",
            (_, Flavour::Cuda) => "lib/libtorch_cuda.so",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Platform = Platform::Linux("x86_64");

    #[test]
    fn an_unsupported_platform_is_an_error_that_names_the_supported_ones() {
        let error = Platform::new("linux", "riscv64").unwrap_err().to_string();
        assert!(error.contains("found linux on riscv64") && error.contains("LIBTORCH"), "{error}");
        assert!(Platform::new("macos", "x86_64").is_err());
        assert_eq!(Platform::new("linux", "x86_64").unwrap(), LINUX);
        assert!(Platform::AppleSilicon.requirements(Flavour::Cuda).is_err());
    }

    #[test]
    fn every_requirement_has_a_version_and_a_hash_for_each_platform() {
        for (flavour, wheels) in [(Flavour::Cpu, 3), (Flavour::Cuda, 18)] {
            let text = LINUX.requirements(flavour).unwrap().replace("\\\n", "");
            let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(lines[0].starts_with(&format!("torch=={VERSION} ")), "{text}");
            assert_eq!(lines.len(), wheels);
            for line in lines {
                let hashes = line.split("--hash=sha256:").skip(1).map(str::trim);
                let hashes: Vec<_> = hashes.filter(|hash| hash.len() == 64).collect();
                assert!(line.contains("==") && hashes.len() >= 2, "{line}");
            }
        }
    }

    #[test]
    fn each_flavour_keeps_its_files_of_the_wheels() {
        // The destination, and whether the CPU flavour keeps the file too.
        let kept = [
            ("torch/include/ATen/ATen.h", "include/ATen/ATen.h", true),
            ("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so", true),
            ("torch/lib/libgomp.so.1", "lib/libgomp.so.1", true),
            ("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13", true),
            ("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13", true),
            ("torch/lib/libtorch_cuda.so", "lib/libtorch_cuda.so", false),
            ("torch/lib/libc10_cuda.so", "lib/libc10_cuda.so", false),
            ("torch/lib/libcaffe2_nvrtc.so", "lib/libcaffe2_nvrtc.so", false),
            ("torch/lib/libtorch_nvshmem.so", "lib/libtorch_nvshmem.so", false),
            ("nvidia/cudnn/lib/libcudnn.so.9", "lib/libcudnn.so.9", false),
            ("nvidia/cu13/include/crt/host_config.h", "include/cuda/crt/host_config.h", false),
            ("nvidia/nccl/include/nccl.h", "include/cuda/nccl.h", false),
        ];
        for (entry, path, on_cpu) in kept {
            let path = Some(PathBuf::from(path));
            assert_eq!(LINUX.destination(entry.as_ref(), Flavour::Cuda), path);
            assert_eq!(LINUX.destination(entry.as_ref(), Flavour::Cpu), path.filter(|_| on_cpu));
        }
        for entry in [
            "torch/lib/libtorch.so",
            "torch/lib/libtorch_python.so",
            "torch/_C.cpython-311-x86_64-linux-gnu.so",
            "torch/version.py",
            "README.md",
            "torch/include/../../escaped.h",
            "/torch/include/a.h",
        ] {
            assert_eq!(LINUX.destination(entry.as_ref(), Flavour::Cuda), None, "{entry}");
        }
        let within = LINUX.destination(Path::new("torch/include//tmp/x"), Flavour::Cpu);
        assert_eq!(within, Some("include/tmp/x".into()));
        let apple = |entry: &str| Platform::AppleSilicon.destination(entry.as_ref(), Flavour::Cpu);
        assert_eq!(apple("torch/lib/libtorch.dylib"), Some("lib/libtorch.dylib".into()));
        assert_eq!(apple("torch/lib/libtorch_python.dylib"), None);
    }
}
