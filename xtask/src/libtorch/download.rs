//! pip fetches the wheels.

use super::VERSION;
use super::platform::{Flavour, Platform};
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Lines of pip's that an error repeats.
const LAST_LINES: usize = 6;

/// The Python whose pip fetches: `PYTHON` where it is set, else `python3`.
pub fn python() -> PathBuf {
    std::env::var_os("PYTHON")
        .filter(|name| !name.is_empty())
        .map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

/// Fetches the wheels of a flavour into `folder`, in their alphabetical order.
pub fn download(
    python: &Path,
    platform: Platform,
    flavour: Flavour,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    check_pip(python)?;
    run_pip(&mut pip_download(python, platform, flavour, folder)?)?;
    let mut wheels = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            wheels.push(path);
        }
    }
    wheels.sort();
    Ok(wheels)
}

fn check_pip(python: &Path) -> Result<()> {
    let mend = format!(
        "`apt-get install python3-pip` has it on Debian and Ubuntu; \
         or set LIBTORCH to the folder of a libtorch {VERSION}"
    );
    let mut version = Command::new(python);
    version.args(["-m", "pip", "--version"]).stdin(Stdio::null());
    match version.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => bail!(
            "`{} -m pip --version` failed: {}; pip fetches libtorch. {mend}",
            python.display(),
            String::from_utf8_lossy(&output.stderr).trim(),
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("found no `{}`; its pip fetches libtorch. {mend}", python.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot start `{}`", python.display())),
    }
}

fn pip_download(
    python: &Path,
    platform: Platform,
    flavour: Flavour,
    folder: &Path,
) -> Result<Command> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-input"]);
    // A wheel that arrived damaged must not come again from pip's cache, nor fill it.
    pip.arg("--no-cache-dir");
    // The wheel is opened here, never run: any Python's will do, and this one exists everywhere.
    pip.args(["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]);
    for tag in platform.tags() {
        pip.arg("--platform").arg(tag);
    }
    if flavour == Flavour::Cpu {
        pip.arg("--no-deps");
    }
    pip.arg("--dest").arg(folder).args(platform.requirements(flavour)?);
    // pip writes a download to its temporary folder first, which may be too small elsewhere.
    pip.env("TMPDIR", folder);
    Ok(pip)
}

fn run_pip(pip: &mut Command) -> Result<()> {
    // Standard output belongs to the command that the user asked for.
    pip.stdin(Stdio::null()).stdout(Stdio::from(io::stderr())).stderr(Stdio::piped());
    let mut child = pip.spawn().context("cannot start pip")?;
    let mut last = VecDeque::new();
    if let Some(errors) = child.stderr.take() {
        for line in BufReader::new(errors).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            eprintln!("{line}");
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let said = Vec::from(last).join("\n  ");
    bail!("pip could not download libtorch ({status}):\n  {said}\n{}", advice(&said))
}

/// What to do, by what pip said.
fn advice(said: &str) -> String {
    let advice = if said.contains("No space left") {
        "free some disk space and run `cargo xtask setup` again"
    } else {
        "see that this machine reaches the package index (pip's own settings hold: PIP_INDEX_URL, \
         PIP_PROXY, pip.conf) and run `cargo xtask setup` again"
    };
    format!("{advice}; or set LIBTORCH to the folder of a libtorch {VERSION} that is there already")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_is_told_the_platform_and_to_leave_the_rest() {
        let folder = Path::new("wheels");
        let line = |flavour| {
            let python = Path::new("python3");
            let pip = pip_download(python, Platform::Linux("x86_64"), flavour, folder).unwrap();
            pip.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let cpu = line(Flavour::Cpu);
        for expected in ["torch==2.11.0", "--no-deps", "manylinux_2_28_x86_64", "--dest"] {
            assert!(cpu.iter().any(|arg| arg == expected), "{expected}");
        }
        assert!(!line(Flavour::Cuda).contains(&"--no-deps".to_owned()));
    }

    #[test]
    fn a_full_disk_is_not_a_network() {
        assert!(
            advice("OSError: [Errno 28] No space left on device").starts_with("free some disk")
        );
        assert!(advice("Temporary failure in name resolution").contains("PIP_INDEX_URL"));
    }
}
