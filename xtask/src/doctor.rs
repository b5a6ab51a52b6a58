//! What is there, what is missing, and the command that mends it.

use crate::libtorch::{self, Flavour, Setup};
use crate::workspace;
use anyhow::Result;
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// What `cargo xtask data fetch` calls a data set, and the names that its files may have.
const DATA_SETS: [(&str, &[&str]); 3] = [
    ("cifar10", &["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]),
    ("cifar100", &["cifar-100-binary", "cifar-100-binary.tar.gz"]),
    ("fashion-mnist", &["fashion-mnist"]),
];

/// The images that the repository holds.
const SMALL: &str = "fashion-mnist-small";

/// Prints the table, or one JSON document; fails if `train` would.
pub fn doctor(as_json: bool) -> Result<ExitCode> {
    let rows = examine();
    let healthy = rows.iter().all(|row| row.state != State::Missing);
    if as_json {
        println!(
            "{}",
            json!({"ok": healthy, "rows": rows.iter().map(Row::json).collect::<Vec<_>>()})
        );
    } else {
        println!("{}", table(&rows));
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    /// Not there, and `train` goes without it or fetches it
    Absent,
    /// Not there or not right, and `train` needs it
    Missing,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Missing => "MISSING",
        }
    }
}

/// A line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    state: State,
    /// What was found; where nothing was, what for it is.
    found: String,
    /// The command that mends it.
    mend: Option<String>,
}

impl Row {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Ok, found: found.into(), mend: None }
    }

    fn not(name: &str, state: State, found: impl Into<String>, mend: impl Into<String>) -> Self {
        let (name, found, mend) = (name.to_owned(), found.into(), Some(mend.into()));
        Self { name, state, found, mend }
    }

    fn json(&self) -> Value {
        let state = self.state.name().to_lowercase();
        json!({"name": self.name, "state": state, "found": self.found, "mend": self.mend})
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let lines = rows.iter().map(|row| {
        let mend = row.mend.iter().map(|mend| format!("\n{:width$}           -> {mend}", ""));
        format!(
            "{:width$}  {:7}  {}{}",
            row.name,
            row.state.name(),
            row.found,
            mend.collect::<String>()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn examine() -> Vec<Row> {
    let mut rows = vec![rust(), cpp()];
    let pip = pip();
    let setup = Setup::from_environment();
    rows.push(libtorch(&setup, pip.state == State::Ok));
    rows.insert(2, pip);
    rows.push(cuda(&setup));
    let data =
        env::var_os("SD_DATA_DIR").map_or_else(|| workspace::root().join("data"), PathBuf::from);
    rows.extend(data_sets(&data));
    rows.push(disk(&workspace::root()));
    rows.push(Row::ok("cores", cores()));
    rows.extend(memory().map(|found| Row::ok("memory", found)));
    rows
}

fn rust() -> Row {
    match first_line("rustc", &["--version"]) {
        Some(version) => Row::ok("Rust", version),
        None => Row::not("Rust", State::Missing, "no rustc", "install it from https://rustup.rs"),
    }
}

fn cpp() -> Row {
    let own = env::var("CXX").ok().filter(|name| !name.is_empty());
    let names =
        own.map_or_else(|| ["c++", "g++", "clang++"].map(str::to_owned).to_vec(), |own| vec![own]);
    match names.iter().find_map(|name| first_line(name, &["--version"])) {
        Some(version) => Row::ok("C++ compiler", version),
        None => Row::not(
            "C++ compiler",
            State::Missing,
            format!("no {} (tch compiles C++)", names.join(", ")),
            if cfg!(target_os = "macos") {
                "xcode-select --install"
            } else {
                "apt-get install g++"
            },
        ),
    }
}

fn pip() -> Row {
    let python = libtorch::python();
    let name = python.display().to_string();
    match first_line(&name, &["-m", "pip", "--version"]) {
        // `pip 24.0 from FOLDER (python 3.12)`
        Some(said) => Row::ok("pip", said.split(" from ").next().unwrap_or_default()),
        None => Row::not(
            "pip",
            State::Absent,
            format!("no `{name} -m pip`; it fetches libtorch"),
            "apt-get install python3-pip",
        ),
    }
}

fn libtorch(setup: &Result<Setup>, can_fetch: bool) -> Row {
    let setup = match setup {
        Ok(setup) => setup,
        Err(error) => return Row::not("libtorch", State::Missing, error.to_string(), "see above"),
    };
    if setup.of_user.is_some() {
        return match setup.ensure() {
            Ok(libtorch) => Row::ok("libtorch", libtorch.to_string()),
            Err(error) => Row::not("libtorch", State::Missing, error.to_string(), "unset LIBTORCH"),
        };
    }
    match (setup.linked(), &setup.platform) {
        (Some(libtorch), _) => Row::ok("libtorch", libtorch.to_string()),
        (None, Err(error)) => {
            let mend = format!("export LIBTORCH=FOLDER of a libtorch {}", libtorch::VERSION);
            Row::not("libtorch", State::Missing, error.to_string(), mend)
        }
        (None, Ok(_)) => Row::not(
            "libtorch",
            if can_fetch { State::Absent } else { State::Missing },
            "not linked into this clone; `cargo xtask train` fetches it",
            "cargo xtask setup",
        ),
    }
}

fn cuda(setup: &Result<Setup>) -> Row {
    let driver =
        first_line("nvidia-smi", &["--query-gpu=name,driver_version", "--format=csv,noheader"])
            .or_else(|| {
                let version = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
                version.lines().next().map(str::to_owned)
            });
    let Some(driver) = driver else {
        let found = "no NVIDIA driver seen; the CPU computes".to_owned();
        return Row { name: "CUDA".to_owned(), state: State::Absent, found, mend: None };
    };
    let lib = |setup: &Setup| {
        let folder = setup.of_user.clone().unwrap_or_else(|| setup.root.join(".libtorch"));
        folder.join("lib/libtorch_cuda.so").exists()
    };
    match setup.as_ref().is_ok_and(lib) {
        true => Row::ok("CUDA", driver),
        false => Row::not(
            "CUDA",
            State::Absent,
            format!("{driver}; libtorch has no CUDA part"),
            format!(
                "cargo xtask setup --cuda (takes {} GB)",
                Flavour::Cuda.bytes_needed() / 1_000_000_000
            ),
        ),
    }
}

fn data_sets(data: &Path) -> Vec<Row> {
    let found =
        |names: &[&str]| names.iter().map(|name| data.join(name)).find(|path| path.exists());
    let small = match found(&[SMALL]) {
        Some(path) => Row::ok(SMALL, path.display().to_string()),
        None => Row::not(
            SMALL,
            State::Missing,
            format!("not in {}; `train` without a configuration uses it", data.display()),
            format!("git checkout -- data/{SMALL}, with SD_DATA_DIR unset"),
        ),
    };
    let published = DATA_SETS.iter().map(|(name, files)| match found(files) {
        Some(path) => Row::ok(name, path.display().to_string()),
        None => Row::not(
            name,
            State::Absent,
            format!("not in {}", data.display()),
            format!("cargo xtask data fetch {name}"),
        ),
    });
    std::iter::once(small).chain(published).collect()
}

fn disk(folder: &Path) -> Row {
    match libtorch::free_bytes(folder) {
        Ok(free) => Row::ok("free disk", format!("{:.1} GB", free as f64 / 1e9)),
        Err(error) => Row::not("free disk", State::Absent, format!("{error:#}"), "df -h ."),
    }
}

fn cores() -> String {
    std::thread::available_parallelism().map_or_else(|error| error.to_string(), |n| n.to_string())
}

/// Memory in all, by Linux's or macOS' own account.
fn memory() -> Option<String> {
    let bytes = match fs::read_to_string("/proc/meminfo") {
        Ok(text) => 1024 * text.split_whitespace().nth(1)?.parse::<u64>().ok()?,
        Err(_) => first_line("sysctl", &["-n", "hw.memsize"])?.parse().ok()?,
    };
    Some(format!("{:.1} GB", bytes as f64 / 1e9))
}

/// The first line that a program prints, if it is there and ends well.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_images_are_needed_and_the_published_ones_are_not() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("cifar-100-binary.tar.gz"), "").unwrap();
        let states = |rows: &[Row]| rows.iter().map(|row| row.state).collect::<Vec<_>>();
        let rows = data_sets(data.path());
        assert_eq!(states(&rows), [State::Missing, State::Absent, State::Ok, State::Absent]);
        assert_eq!(rows[1].mend.as_deref(), Some("cargo xtask data fetch cifar10"));
        fs::create_dir(data.path().join(SMALL)).unwrap();
        assert_eq!(data_sets(data.path())[0].state, State::Ok);
    }

    #[test]
    fn libtorch_is_missing_where_it_cannot_be_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let setup = || Setup {
            root: folder.path().join("clone"),
            cache: folder.path().join("cache"),
            python: "python3".into(),
            platform: libtorch::Platform::of("linux", "x86_64"),
            of_user: None,
            free_bytes: libtorch::free_bytes,
        };
        assert_eq!(libtorch(&Ok(setup()), true).state, State::Absent);
        assert_eq!(libtorch(&Ok(setup()), false).state, State::Missing);
        let elsewhere = Setup { platform: libtorch::Platform::of("linux", "s390x"), ..setup() };
        assert_eq!(libtorch(&Ok(elsewhere), true).state, State::Missing);
        let wrong = Setup { of_user: Some(folder.path().into()), ..setup() };
        let row = libtorch(&Ok(wrong), true);
        assert_eq!((row.state, row.mend.as_deref()), (State::Missing, Some("unset LIBTORCH")));
    }

    #[test]
    fn what_is_missing_says_what_mends_it_and_what_is_there_does_not() {
        let rows = examine();
        assert!(rows.len() >= 10, "{rows:?}");
        for row in &rows {
            let right = match row.state {
                State::Ok => row.mend.is_none(),
                State::Absent => row.mend.is_some() || row.name == "CUDA",
                State::Missing => row.mend.is_some(),
            };
            assert!(right, "{row:?}");
        }
        assert_eq!(rows[0].json()["state"], "ok");
    }

    #[test]
    fn the_table_aligns_and_names_the_mending() {
        let rows = [Row::ok("a", "1"), Row::not("long", State::Missing, "none", "get it")];
        assert_eq!(table(&rows), "a     ok       1\nlong  MISSING  none\n               -> get it");
    }
}
