//! Checks of an installed libtorch.

use super::platform::Flavour;
use super::{Libtorch, VERSION};
use anyhow::{Context, Result, ensure};
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// File that is written last: the version, then the size and path of each file.
const MARKER: &str = "complete";

/// Lists the folder's files in its marker. All of them must be on the disk by now.
pub fn write_marker(folder: &Path, flavour: Flavour) -> Result<()> {
    let mut text = format!("libtorch {}\n", flavour.build_version());
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in folder.join(&inner).read_dir()? {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                writeln!(text, "{} {}", entry.metadata()?.len(), path.display())?;
            }
        }
    }
    Ok(fs::write(folder.join(MARKER), text)?)
}

/// Checks that a folder contains every file of its marker, each of its size.
pub fn check_complete(folder: &Path, flavour: Flavour) -> Result<()> {
    let marker = folder.join(MARKER);
    let text = fs::read_to_string(&marker)
        .with_context(|| format!("{} is incomplete: no {MARKER}", folder.display()))?;
    let (found, files) = text.split_once('\n').unwrap_or_default();
    let expected = format!("libtorch {}", flavour.build_version());
    ensure!(found == expected, "{}: found `{found}`, expected `{expected}`", marker.display());
    for line in files.lines() {
        let (size, path) = line.split_once(' ').unwrap_or_default();
        let path = folder.join(path);
        let found = fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        ensure!(
            found.to_string() == size,
            "{}: found {found} bytes, expected {size}",
            path.display()
        );
    }
    Ok(())
}

/// Checks the libtorch that the user named.
pub fn check_user_libtorch(folder: &Path) -> Result<Libtorch> {
    let advice = format!(
        "set LIBTORCH to a libtorch {VERSION}, e.g. the folder `torch` of a Python with torch \
         {VERSION}, or unset it and `cargo xtask setup` downloads one"
    );
    let shown = folder.display();
    ensure!(
        folder.is_absolute(),
        "LIBTORCH: found `{shown}`, expected an absolute path: build scripts run elsewhere"
    );
    let library = format!("lib/libtorch_cpu{}", env::consts::DLL_SUFFIX);
    for required in [library.as_str(), "include/torch"] {
        ensure!(
            folder.join(required).exists(),
            "LIBTORCH: found no {required} in {shown}; {advice}"
        );
    }
    let version = find_version(folder).with_context(|| {
        format!("LIBTORCH: found no version in {shown} (no build-version, no version.py); {advice}")
    })?;
    ensure!(
        series(&version) == series(VERSION),
        "LIBTORCH: found libtorch {version} in {shown}, expected {}.x; {advice}",
        series(VERSION)
    );
    Ok(Libtorch { folder: folder.to_path_buf(), version, set_by_user: true })
}

/// The version of a libtorch or of a Python package `torch`.
fn find_version(folder: &Path) -> Option<String> {
    let read = |path: &str| fs::read_to_string(folder.join(path)).ok();
    let quoted = |path: &str, name: &str| {
        let text = read(path)?;
        let quoted = text.split_once(name)?.1.split(['"', '\'']).nth(1)?;
        Some(quoted.to_owned())
    };
    read("build-version")
        .map(|text| text.trim().to_owned())
        .or_else(|| quoted("version.py", "__version__ ="))
        .or_else(|| quoted("include/torch/headeronly/version.h", "TORCH_VERSION \\"))
        .or_else(|| quoted("include/torch/csrc/api/include/torch/version.h", "TORCH_VERSION \\"))
}

/// `2.11` of `2.11.0+cpu`.
fn series(version: &str) -> &str {
    version.match_indices('.').nth(1).map_or(version, |(index, _)| &version[..index])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: (&str, &str) = ("lib/libtorch_cpu.so", "");
    const HEADER: (&str, &str) = ("include/torch/torch.h", "");

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_version_is_read_from_each_kind_of_folder() {
        let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \\\n  \"2.11.0\"\n";
        let python = "__all__ = ['__version__', 'x']\n__version__ = '2.11.0+cu130'\n";
        for (path, text, version) in [
            ("build-version", "2.11.0+cpu\n", "2.11.0+cpu"),
            ("version.py", python, "2.11.0+cu130"),
            ("include/torch/headeronly/version.h", header, "2.11.0"),
            ("include/torch/csrc/api/include/torch/version.h", header, "2.11.0"),
        ] {
            let folder = folder_with(&[(path, text)]);
            assert_eq!(find_version(folder.path()).as_deref(), Some(version), "{path}");
        }
    }

    #[test]
    fn only_the_required_release_series_is_accepted() {
        let good = folder_with(&[LIBRARY, HEADER, ("build-version", "2.11.1")]);
        assert!(check_user_libtorch(good.path()).unwrap().set_by_user);
        for version in ["2.1.0", "2.10.0", "3.11.0"] {
            let bad = folder_with(&[LIBRARY, HEADER, ("build-version", version)]);
            let error = check_user_libtorch(bad.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("found libtorch {version}")), "{error}");
            assert!(error.contains("expected 2.11.x") && error.contains("unset it"), "{error}");
        }
    }

    #[test]
    fn a_folder_without_libtorch_is_an_error() {
        let error = |folder: &Path| check_user_libtorch(folder).unwrap_err().to_string();
        assert!(error(folder_with(&[]).path()).contains("no lib/libtorch_cpu"));
        assert!(error(folder_with(&[LIBRARY]).path()).contains("no include/torch"));
        assert!(error(folder_with(&[LIBRARY, HEADER]).path()).contains("no version"));
        assert!(error(Path::new("libtorch")).contains("expected an absolute path"));
    }
}
