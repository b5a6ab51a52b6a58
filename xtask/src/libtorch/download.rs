//! Downloading the wheels with pip.

use super::VERSION;
use super::platform::{Flavour, Platform};
use anyhow::{Context, Result, ensure};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python whose pip downloads libtorch: `PYTHON`, or `python3` if that is not set.
pub fn python() -> PathBuf {
    let name = std::env::var_os("PYTHON").filter(|name| !name.is_empty());
    let name = name.map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    // Not a name to search for, but a path, which must hold in another folder too.
    let is_path = name.components().count() > 1;
    std::path::absolute(&name).ok().filter(|_| is_path).unwrap_or(name)
}

/// Downloads the wheels of a flavour into `folder` and returns their paths.
pub fn download(
    python: &Path,
    platform: Platform,
    flavour: Flavour,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let python_name = python.display();
    // Standard output belongs to the command that the user asked for.
    let pip = pip_download(python, platform, flavour, folder)?
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|pip| pip.wait_with_output())
        .with_context(|| format!("cannot start `{python_name}`; {}", advice(NO_PIP)))?;
    let messages = String::from_utf8_lossy(&pip.stderr);
    ensure!(
        pip.status.success(),
        "`{python_name} -m pip` could not download libtorch ({}):\n{}\n{}",
        pip.status,
        messages.trim(),
        advice(&messages)
    );
    let mut wheels =
        folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    wheels.retain(|path| path.extension().is_some_and(|extension| extension == "whl"));
    Ok(wheels)
}

fn pip_download(
    python: &Path,
    platform: Platform,
    flavour: Flavour,
    folder: &Path,
) -> Result<Command> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input"]);
    // A damaged wheel must not come again from pip's cache.
    pip.arg("--no-cache-dir");
    // The wheel is unpacked, never run, so any Python version does. All platforms have this one.
    pip.args(["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]);
    for tag in platform.tags() {
        pip.arg("--platform").arg(tag);
    }
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, platform.requirements(flavour)?)?;
    pip.args(["--no-deps", "--require-hashes", "--requirement"]).arg(requirements);
    pip.arg("--dest").arg(folder);
    // Python imports modules from the current folder first, `pip.py` too.
    pip.current_dir(folder);
    // pip downloads to its temporary folder first, which may be too small elsewhere.
    pip.env("TMPDIR", folder);
    Ok(pip)
}

/// Message of a Python without pip.
const NO_PIP: &str = "No module named pip";

fn advice(messages: &str) -> String {
    let advice = if messages.contains(NO_PIP) {
        "install pip, on Debian and Ubuntu with `apt-get install python3-pip`,"
    } else if messages.contains("No space left") {
        "free some disk space"
    } else {
        "check that this machine reaches the package index (pip reads PIP_INDEX_URL, PIP_PROXY \
         and pip.conf)"
    };
    format!(
        "{advice} and run `cargo xtask setup` again, or set LIBTORCH to the folder of a libtorch \
         {VERSION}"
    )
}
