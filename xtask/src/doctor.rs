//! What is there, what is missing, and the command that mends it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::libtorch;
use crate::run::root;

/// Prints a line for each thing that training needs or may use.
///
/// # Errors
/// If something that `cargo xtask train` needs is missing.
pub fn doctor() -> Result<()> {
    let mut missing = 0;
    let mut line = |name: &str, found: Option<String>, mend: &str, needed: bool| {
        let mark = if found.is_some() { "ok" } else if needed { "MISSING" } else { "-" };
        missing += usize::from(needed && found.is_none());
        println!("{name:<18}{mark:<9}{}", found.unwrap_or_else(|| mend.to_owned()));
    };
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    line("Rust", said("rustc", &["--version"]), "install Rust: https://rustup.rs", true);
    line("C++ compiler", said(&compiler, &["--version"]), "Debian: apt-get install g++", true);
    let libtorch = libtorch::present()?;
    let pip = said("python3", &["-m", "pip", "--version"]);
    line("pip", pip, "Debian: apt-get install python3-pip", libtorch.is_none());
    let at = libtorch.map(|folder| format!("{} at {}", libtorch::VERSION, folder.display()));
    line("libtorch", at, "cargo xtask setup (train does it by itself)", false);
    let gpu = said("nvidia-smi", &["--query-gpu=name", "--format=csv,noheader"]);
    line("CUDA device", gpu, "none seen; the CPU is used", false);
    let data = std::env::var_os("SD_DATA_DIR").map_or_else(|| root().join("data"), Into::into);
    for (name, places, mend) in [
        ("Fashion-MNIST 7k", &["fashion-mnist-small"][..], "in the repository: git checkout data"),
        ("Fashion-MNIST", &["fashion-mnist"], "cargo xtask data fetch fashion-mnist"),
        ("CIFAR-10", &["cifar-10-batches-bin", "cifar-10-binary.tar.gz"], "cargo xtask data fetch cifar10"),
        ("CIFAR-100", &["cifar-100-binary", "cifar-100-binary.tar.gz"], "cargo xtask data fetch cifar100"),
    ] {
        let found = places.iter().map(|place| data.join(place)).find(|path| path.exists());
        line(name, found.map(|path| path.display().to_string()), mend, false);
    }
    let free = libtorch::free_bytes(&root()).map(|bytes| format!("{} GB free", bytes >> 30));
    line("disk", free, "unknown", false);
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.to_string());
    line("cores", cores, "unknown", false);
    line("memory", memory(), "unknown", false);
    if missing > 0 {
        bail!("{missing} missing, see above");
    }
    Ok(())
}

/// The first line that a program prints, if it runs.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn memory() -> Option<String> {
    let text = std::fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let kilobytes: u64 = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{} GB", kilobytes >> 20))
}
