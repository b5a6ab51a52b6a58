//! A Python that has PyTorch.

use crate::libtorch::{Setup, VERSION};
use crate::workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the scripts need.
const IMPORTS: &str = "import tomllib, torch, torchvision";

/// The Python that the user named, or that of our virtual environment, made where it is not there.
pub fn with_torch(named: Option<&Path>, setup: &Setup) -> Result<PathBuf> {
    let python = match named {
        Some(python) => python.to_owned(),
        None => environment(setup)?,
    };
    let mut check = Command::new(&python);
    check.args(["-c", IMPORTS]).stdin(Stdio::null());
    let output = check.output().with_context(|| format!("cannot start `{}`", python.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or_default();
    ensure!(
        output.status.success(),
        "{}: {last}; expected Python 3.11 or newer with torch {VERSION} and torchvision",
        python.display()
    );
    Ok(python)
}

/// The virtual environment in the user's cache. It holds the requirements that it was made with,
/// written last, so that half a one is not taken for a whole.
fn environment(setup: &Setup) -> Result<PathBuf> {
    let requirements = workspace::root().join("scripts/peers/requirements.txt");
    let wanted = fs::read(&requirements).with_context(|| requirements.display().to_string())?;
    let folder = setup.cache.join(format!("pytorch-{VERSION}"));
    let python = folder.join("bin/python");
    let marker = folder.join("installed-requirements.txt");
    if fs::read(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("installing PyTorch {VERSION} into {}: several GB", folder.display());
    run(Command::new(&setup.python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip =
        ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--requirement"];
    run(Command::new(&python).args(pip).arg(&requirements))?;
    fs::write(&marker, wanted).with_context(|| marker.display().to_string())?;
    Ok(python)
}

/// Standard output belongs to the command's own document.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program}` failed ({status}); its messages are above; `--python` names another");
    }
    Ok(())
}
