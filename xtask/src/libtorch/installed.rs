//! Telling a whole libtorch folder from a part of one, and its version.

use super::platform::Flavour;
use super::{Libtorch, VERSION};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Written last: the version, then each file's size and path.
const MARKER: &str = "complete";

/// Lists the folder's files in its marker. Everything else has to be on disk by now.
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
    let mut marker = File::create(folder.join(MARKER))?;
    marker.write_all(text.as_bytes())?;
    marker.sync_all()?;
    Ok(())
}

/// Checks that a folder of ours is as it was when it was made: every file there, of its size.
pub fn check_whole(folder: &Path, flavour: Flavour) -> Result<()> {
    let marker = folder.join(MARKER);
    let text = fs::read_to_string(&marker)
        .with_context(|| format!("{} is not whole: no {MARKER} in it", folder.display()))?;
    let mut lines = text.lines();
    let expected = format!("libtorch {}", flavour.build_version());
    let found = lines.next().unwrap_or_default();
    ensure!(found == expected, "{}: found `{found}`, expected `{expected}`", marker.display());
    for line in lines {
        let (size, path) = line
            .split_once(' ')
            .and_then(|(size, path)| Some((size.parse::<u64>().ok()?, folder.join(path))))
            .with_context(|| format!("{}: found `{line}`, expected a file", marker.display()))?;
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == size => {}
            Ok(metadata) => {
                bail!("{}: found {} bytes, expected {size}", path.display(), metadata.len())
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(())
}

/// The version that the files of a libtorch, or of a Python package `torch`, say.
pub fn find_version(folder: &Path) -> Option<String> {
    let read = |path: &str| fs::read_to_string(folder.join(path)).ok();
    read("build-version")
        .map(|text| text.trim().to_owned())
        .or_else(|| quoted(&read("version.py")?, "__version__ ="))
        .or_else(|| quoted(&read("include/torch/headeronly/version.h")?, "TORCH_VERSION \\"))
        .or_else(|| {
            quoted(&read("include/torch/csrc/api/include/torch/version.h")?, "TORCH_VERSION \\")
        })
}

/// The first quoted text behind a name.
fn quoted(text: &str, name: &str) -> Option<String> {
    let behind = &text[text.find(name)? + name.len()..];
    let start = behind.find(['"', '\''])?;
    let inner = &behind[start + 1..];
    let end = inner.find(['"', '\''])?;
    Some(inner[..end].to_owned())
}

/// Checks the libtorch that the user named.
pub fn check_of_user(folder: &Path) -> Result<Libtorch> {
    let mend = format!(
        "set LIBTORCH to a libtorch {VERSION}, e.g. the folder `torch` of a Python that has \
         torch {VERSION}, or unset it and `cargo xtask setup` fetches one"
    );
    let shown = folder.display();
    ensure!(
        folder.is_absolute(),
        "LIBTORCH: found `{shown}`, expected an absolute path: build scripts run elsewhere"
    );
    let lib = folder.join("lib");
    ensure!(
        ["libtorch_cpu.so", "libtorch_cpu.dylib"].iter().any(|name| lib.join(name).exists()),
        "LIBTORCH: found no lib/libtorch_cpu.so in {shown}; {mend}"
    );
    ensure!(
        folder.join("include/torch").is_dir(),
        "LIBTORCH: found no headers (include/torch) in {shown}; {mend}"
    );
    let Some(version) = find_version(folder) else {
        bail!("LIBTORCH: found no version in {shown} (no build-version, no version.py); {mend}");
    };
    ensure!(
        series(&version) == series(VERSION),
        "LIBTORCH: found libtorch {version} in {shown}, expected {}.x; {mend}",
        series(VERSION)
    );
    Ok(Libtorch { folder: folder.to_path_buf(), version, of_user: true })
}

/// `2.11` of `2.11.0+cpu`.
fn series(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(index, _)| index);
    &version[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const LIBRARY: (&str, &str) = ("lib/libtorch_cpu.so", "");
    const HEADER: (&str, &str) = ("include/torch/torch.h", "");

    #[test]
    fn a_changed_or_missing_file_is_seen() {
        let folder = folder_with(&[LIBRARY, ("lib/libc10.so", "four")]);
        let check = || check_whole(folder.path(), Flavour::Cpu).map_err(|e| format!("{e:#}"));
        assert!(check().unwrap_err().contains("is not whole"));
        write_marker(folder.path(), Flavour::Cpu).unwrap();
        check().unwrap();
        assert!(check_whole(folder.path(), Flavour::Cuda).is_err());
        fs::write(folder.path().join("lib/libc10.so"), "fo").unwrap();
        assert!(check().unwrap_err().contains("found 2 bytes, expected 4"));
        fs::remove_file(folder.path().join("lib/libc10.so")).unwrap();
        assert!(check().unwrap_err().contains("libc10.so"));
    }

    #[test]
    fn the_version_is_read_where_each_kind_has_it() {
        let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \\\n  \"2.11.0\"\n";
        for (path, text, version) in [
            ("build-version", "2.11.0+cpu\n", "2.11.0+cpu"),
            (
                "version.py",
                "__all__ = ['__version__', 'x']\n__version__ = '2.11.0+cu130'\n",
                "2.11.0+cu130",
            ),
            ("include/torch/headeronly/version.h", header, "2.11.0"),
            ("include/torch/csrc/api/include/torch/version.h", header, "2.11.0"),
        ] {
            let folder = folder_with(&[(path, text)]);
            assert_eq!(find_version(folder.path()).as_deref(), Some(version), "{path}");
        }
    }

    #[test]
    fn another_version_of_the_user_is_told_apart() {
        let good = folder_with(&[LIBRARY, HEADER, ("build-version", "2.11.1")]);
        assert!(check_of_user(good.path()).unwrap().of_user);
        for version in ["2.1.0", "2.10.0", "3.11.0"] {
            let bad = folder_with(&[LIBRARY, HEADER, ("build-version", version)]);
            let error = check_of_user(bad.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("found libtorch {version}")), "{error}");
            assert!(error.contains("expected 2.11.x") && error.contains("unset it"), "{error}");
        }
    }

    #[test]
    fn what_is_no_libtorch_is_told_so() {
        let says = |folder: &Path| check_of_user(folder).unwrap_err().to_string();
        let empty = folder_with(&[]);
        assert!(says(empty.path()).contains("no lib/libtorch_cpu.so"));
        let headless = folder_with(&[LIBRARY]);
        assert!(says(headless.path()).contains("no headers"));
        let nameless = folder_with(&[LIBRARY, HEADER]);
        assert!(says(nameless.path()).contains("no version"));
        assert!(says(Path::new("libtorch")).contains("expected an absolute path"));
    }
}
