//! A Python with PyTorch.

use crate::libtorch::{Setup, VERSION};
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Modules that the scripts need.
const IMPORTS: &str = "import tomllib, torch, torchvision";

/// Returns the user's Python, or that of a virtual environment, which is created if missing.
pub fn with_torch(named: Option<&Path>, setup: &Setup) -> Result<PathBuf> {
    let python = match named {
        Some(python) => python.to_owned(),
        None => environment(setup)?,
    };
    let mut check = Command::new(&python);
    check.args(["-c", IMPORTS]).stdin(Stdio::null());
    let output = check.output().with_context(|| format!("cannot start `{}`", python.display()))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    let last = messages.trim().lines().last().unwrap_or_default();
    ensure!(
        output.status.success(),
        "{}: {last}; expected Python 3.11 or newer with torch {VERSION} and torchvision",
        python.display()
    );
    Ok(python)
}

/// The virtual environment in the user's cache. A copy of its requirements is written last and marks
/// it as complete.
fn environment(setup: &Setup) -> Result<PathBuf> {
    let requirements = workspace::root().join("scripts/peers/requirements.txt");
    let required = fs::read(&requirements).with_context(|| requirements.display().to_string())?;
    let folder = setup.cache.join(format!("pytorch-{VERSION}"));
    let python = folder.join("bin/python");
    let marker = folder.join("installed-requirements.txt");
    if fs::read(&marker).is_ok_and(|installed| installed == required) {
        return Ok(python);
    }
    eprintln!("installing PyTorch {VERSION} into {}: several GB", folder.display());
    // Python imports modules from the current folder first, `venv.py` and `pip.py` too.
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let venv = ["-m", "venv", "--clear"];
    run(Command::new(&setup.python).args(venv).arg(&folder).current_dir(&folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--requirement"]).arg(&requirements);
    run(pip.current_dir(&folder))?;
    fs::write(&marker, required).with_context(|| marker.display().to_string())?;
    Ok(python)
}

/// Runs a command with its output on standard error, since standard output is for the record.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start `{program}`"))?;
    ensure!(
        status.success(),
        "`{program}` failed ({status}); its messages are above; `--python` chooses another Python"
    );
    Ok(())
}
