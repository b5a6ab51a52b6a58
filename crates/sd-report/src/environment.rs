//! The parts of a run's [`Environment`](crate::Environment) that are known without libtorch.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

/// The machine, and the git commit of the current folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and kernel.
    pub os: String,
    /// Model name of the processor, or its architecture if the name is unknown.
    pub cpu: String,
    /// Cores available to this process.
    pub cores: usize,
    /// Memory of the machine in bytes, if known.
    pub memory_bytes: Option<u64>,
    /// Git commit of the current folder, with a final `+` if tracked files have changed. `None`
    /// outside a repository or without git.
    pub commit: Option<String>,
}

impl Host {
    /// Queries the system. Never fails; unknown values are left out.
    pub fn capture() -> Self {
        Self {
            os: os(),
            cpu: cpu(&read("/proc/cpuinfo")),
            cores: thread::available_parallelism().map_or(1, |cores| cores.get()),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            commit: commit(),
        }
    }
}

/// Formats `time` as RFC 3339 in UTC with whole seconds, such as `2023-11-14T22:13:20Z`. Times
/// before 1970 become 1970.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn os() -> String {
    let kernel = [read("/proc/sys/kernel/ostype"), read("/proc/sys/kernel/osrelease")];
    // The version alone: what follows a hyphen names a build or a machine.
    let kernel = kernel.map(|part| part.trim().split('-').next().unwrap_or_default().to_owned());
    let kernel = kernel.join(" ");
    let distribution = distribution(&read("/etc/os-release"));
    match (distribution, kernel.trim()) {
        (Some(distribution), "") => distribution,
        (Some(distribution), kernel) => format!("{distribution}, {kernel}"),
        (None, "") => env::consts::OS.to_owned(),
        (None, kernel) => kernel.to_owned(),
    }
}

fn distribution(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = name.trim().trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

fn cpu(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name" && !value.trim().is_empty()).then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| format!("unknown {}", env::consts::ARCH))
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn commit() -> Option<String> {
    let hash = git(&["rev-parse", "--verify", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { hash } else { hash + "+" })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc3339() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn system_files_are_parsed() {
        assert_eq!(cpu("processor\t: 0\nmodel name\t: Chip 3000 @ 2GHz\n"), "Chip 3000 @ 2GHz");
        assert!(cpu("processor : 0\n").starts_with("unknown "));
        assert_eq!(memory_bytes("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(memory_bytes(""), None);
        let release = "NAME=x\nPRETTY_NAME=\"An OS 12\"\n";
        assert_eq!(distribution(release).as_deref(), Some("An OS 12"));
    }

    #[test]
    fn a_host_has_no_empty_field() {
        let host = Host::capture();
        assert!(!host.os.is_empty() && !host.cpu.is_empty() && host.cores > 0);
    }
}
