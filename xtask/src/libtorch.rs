//! libtorch from PyPI's wheels, once into the user's cache, linked into the clone.
//!
//! The wheel of `torch` holds libtorch. Its CPU part is enough, and needs two small NVIDIA
//! libraries to load. libtorch's own `libtorch.so` would pull in the CUDA part: a linker script of
//! that name takes its place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::run::root;

/// The version that the `tch` in Cargo.toml is made for.
pub const VERSION: &str = "2.11.0";

/// What is downloaded.
const WHEELS: [&str; 3] =
    ["torch==2.11.0", "nvidia-cuda-cupti==13.0.85", "nvidia-cuda-runtime==13.0.96"];

/// Libraries taken from the wheels, into `lib/`.
const LIBRARIES: [&str; 5] =
    ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcupti.so.13", "libcudart.so.13"];

/// Written last: a folder without it is not whole.
const COMPLETE: &str = ".complete";

/// Bytes of disk that download and unpacking take.
const NEEDED: u64 = 2 << 30;

/// The folder of a libtorch of the right version: the user's own, or ours, fetched if need be.
///
/// # Errors
/// Without pip, network or disk space, on another platform, or for a `LIBTORCH` of another
/// version.
pub fn ensure() -> Result<PathBuf> {
    let link = root().join(".libtorch");
    if let Some(own) = std::env::var_os("LIBTORCH").map(PathBuf::from)
        && own != link
    {
        check_version(&own)?;
        return Ok(own);
    }
    let folder = cache()?.join(format!("libtorch-{VERSION}-cpu"));
    if !folder.join(COMPLETE).is_file() {
        fetch(&folder, Path::new("python3"))?;
    }
    if fs::read_link(&link).ok().as_deref() != Some(&folder) {
        relink(&folder, &link)?;
    }
    Ok(folder)
}

/// Whether ours is there.
pub fn present() -> Result<Option<PathBuf>> {
    let folder = cache()?.join(format!("libtorch-{VERSION}-cpu"));
    Ok(folder.join(COMPLETE).is_file().then_some(folder))
}

/// The version in `folder`.
///
/// # Errors
/// If there is no libtorch, or another version.
pub fn check_version(folder: &Path) -> Result<()> {
    let library = folder.join("lib/libtorch_cpu.so");
    ensure!(
        library.is_file() || folder.join("lib/libtorch_cpu.dylib").is_file(),
        "LIBTORCH is {}: no {} there. Unset LIBTORCH to let `cargo xtask setup` fetch it",
        folder.display(),
        library.display()
    );
    let written = ["build-version", "version.py"]
        .iter()
        .find_map(|name| fs::read_to_string(folder.join(name)).ok())
        .unwrap_or_default();
    ensure!(
        written.contains(VERSION),
        "LIBTORCH is {}: found version `{}`, expected {VERSION}. Unset LIBTORCH to let \
         `cargo xtask setup` fetch it",
        folder.display(),
        written.lines().next().unwrap_or("unknown")
    );
    Ok(())
}

fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("no folder for caches: set HOME or XDG_CACHE_HOME")?;
    Ok(base.join("selfdistill"))
}

/// Fetches libtorch beside `folder` and renames it there when it is whole.
fn fetch(folder: &Path, python: &Path) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "no libtorch is fetched for this platform: set LIBTORCH to a libtorch {VERSION}"
    );
    let cache = folder.parent().expect("a folder in the cache");
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let lock = File::create(cache.join("lock"))?;
    lock.lock().context("cannot lock the cache")?;
    if folder.join(COMPLETE).is_file() {
        return Ok(());
    }
    if let Some(free) = free_bytes(cache)
        && free < NEEDED
    {
        bail!(
            "{}: {} MB free, libtorch needs {} MB; free some, or set XDG_CACHE_HOME",
            cache.display(),
            free >> 20,
            NEEDED >> 20
        );
    }
    // Left by a set-up that was killed; the lock says that none is under way.
    for entry in fs::read_dir(cache)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("partial-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let staging = tempfile::Builder::new().prefix("partial-").tempdir_in(cache)?;
    let (wheels, unpacked) = (staging.path().join("wheels"), staging.path().join("libtorch"));
    eprintln!("fetching libtorch {VERSION} (530 MB, once) into {}", folder.display());
    for wheel in WHEELS {
        download(python, wheel, &wheels)?;
    }
    for entry in fs::read_dir(&wheels)? {
        let wheel = entry?.path();
        unpack(&wheel, &unpacked).with_context(|| format!("unpacking {}", wheel.display()))?;
    }
    for library in LIBRARIES {
        let path = unpacked.join("lib").join(library);
        ensure!(path.is_file(), "the wheels hold no {library}");
    }
    fs::write(unpacked.join("lib/libtorch.so"), "INPUT(libtorch_cpu.so libc10.so)\n")?;
    fs::write(unpacked.join("build-version"), format!("{VERSION}+cpu"))?;
    fs::write(unpacked.join(COMPLETE), VERSION)?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(&unpacked, folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn download(python: &Path, wheel: &str, into: &Path) -> Result<()> {
    let output = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
        .args(["--python-version", "3.11", "--implementation", "cp"])
        .args(["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"])
        .args(["--platform", "manylinux_2_17_x86_64", "--dest"])
        .arg(into)
        .arg(wheel)
        .output()
        .context("cannot start python3: install Python 3 with pip, or set LIBTORCH")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No module named pip") {
        bail!("python3 has no pip: install it (Debian: `apt-get install python3-pip`), or set LIBTORCH");
    }
    let lines: Vec<&str> = said.lines().collect();
    bail!(
        "pip cannot download {wheel}: is there a network, and are pip's settings right? Its last lines:\n{}",
        lines[lines.len().saturating_sub(5)..].join("\n")
    )
}

/// Takes headers and libraries out of a wheel; the archive's checksums are checked on the way.
fn unpack(wheel: &Path, into: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        let Some(path) = member.enclosed_name() else { continue };
        let Some(target) = destination(&path) else { continue };
        let target = into.join(target);
        fs::create_dir_all(target.parent().expect("a file in a folder"))?;
        io::copy(&mut member, &mut File::create(&target)?)?;
    }
    Ok(())
}

/// Where a wheel's member goes, if it is wanted.
fn destination(member: &Path) -> Option<PathBuf> {
    let name = member.file_name()?.to_str()?;
    if member.parent()?.ends_with("lib") && LIBRARIES.contains(&name) {
        return Some(Path::new("lib").join(name));
    }
    let header = member.strip_prefix("torch/include").ok()?;
    member.extension().is_some().then(|| Path::new("include").join(header))
}

/// Points `link` to `folder` in one step.
fn relink(folder: &Path, link: &Path) -> Result<()> {
    let beside = link.with_extension("new");
    let _ = fs::remove_file(&beside);
    std::os::unix::fs::symlink(folder, &beside)
        .and_then(|()| fs::rename(&beside, link))
        .with_context(|| format!("cannot link {} to {}", link.display(), folder.display()))
}

/// Free bytes where `folder` lies, as `df` says.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kilobytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_the_named_libraries_are_taken_and_nothing_else() {
        let wanted = |member: &str| destination(Path::new(member));
        assert_eq!(
            wanted("torch/include/ATen/ATen.h"),
            Some(PathBuf::from("include/ATen/ATen.h"))
        );
        assert_eq!(wanted("torch/lib/libc10.so"), Some(PathBuf::from("lib/libc10.so")));
        assert_eq!(
            wanted("nvidia/cu13/lib/libcudart.so.13"),
            Some(PathBuf::from("lib/libcudart.so.13"))
        );
        assert_eq!(wanted("torch/lib/libtorch_cuda.so"), None);
        assert_eq!(wanted("torch/nn/modules/conv.py"), None);
    }

    #[test]
    fn another_version_is_named_with_the_expected_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        let missing = check_version(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("no ") && missing.contains("libtorch_cpu.so"), "{missing}");
        fs::write(folder.path().join("lib/libtorch_cpu.so"), "").unwrap();
        fs::write(folder.path().join("build-version"), "2.9.1+cpu").unwrap();
        let other = check_version(folder.path()).unwrap_err().to_string();
        assert!(other.contains("2.9.1") && other.contains(VERSION), "{other}");
    }

    #[test]
    fn without_pip_nothing_is_left_and_the_message_says_what_to_install() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("libtorch");
        let error = fetch(&folder, Path::new("/nonexistent/python3")).unwrap_err();
        assert!(format!("{error:#}").contains("install Python 3 with pip"), "{error:#}");
        assert!(!folder.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_broken_wheel_is_never_taken_for_a_whole_libtorch() {
        use std::os::unix::fs::PermissionsExt;
        let cache = tempfile::tempdir().unwrap();
        let python = cache.path().join("python");
        let script = "#!/bin/sh\nwhile [ \"$1\" != --dest ]; do shift; done\n\
                      mkdir -p \"$2\" && echo broken > \"$2/torch.whl\"\n";
        fs::write(&python, script).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let folder = cache.path().join("libtorch");
        let error = fetch(&folder, &python).unwrap_err();
        assert!(format!("{error:#}").contains("torch.whl"), "{error:#}");
        assert!(!folder.exists());
    }
}
