//! `cargo xtask doctor`: what is installed, what is missing, and the command that installs it.

use crate::libtorch::{self, Flavour, Setup};
use crate::workspace;
use anyhow::Result;
use sd_cli::print;
use serde::Serialize;
use serde_json::json;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Data set that the repository contains; `train` without a configuration uses it.
const INCLUDED: &str = "fashion-mnist-small";

/// Data sets to download, by their names for `cargo xtask data fetch`, each with the places that it
/// can be in.
const DOWNLOADABLE: [(&str, &[Place]); 3] = [
    (
        "cifar10",
        &[
            Place {
                name: "cifar-10-batches-bin",
                files: &[
                    ("batches.meta.txt", None),
                    ("test_batch.bin", Some(30_730_000)),
                    ("data_batch_1.bin", Some(30_730_000)),
                    ("data_batch_2.bin", Some(30_730_000)),
                    ("data_batch_3.bin", Some(30_730_000)),
                    ("data_batch_4.bin", Some(30_730_000)),
                    ("data_batch_5.bin", Some(30_730_000)),
                ],
            },
            Place { name: "cifar-10-binary.tar.gz", files: &[] },
        ],
    ),
    (
        "cifar100",
        &[
            Place {
                name: "cifar-100-binary",
                files: &[
                    ("fine_label_names.txt", None),
                    ("test.bin", Some(30_740_000)),
                    ("train.bin", Some(153_700_000)),
                ],
            },
            Place { name: "cifar-100-binary.tar.gz", files: &[] },
        ],
    ),
    (
        "fashion-mnist",
        &[Place {
            name: "fashion-mnist",
            files: &[
                ("train-images-idx3-ubyte.gz", None),
                ("train-labels-idx1-ubyte.gz", None),
                ("t10k-images-idx3-ubyte.gz", None),
                ("t10k-labels-idx1-ubyte.gz", None),
            ],
        }],
    ),
];

/// A file or folder of the data folder that can hold a data set.
struct Place {
    name: &'static str,
    /// Files of the folder, with their sizes in bytes if these are fixed.
    files: &'static [(&'static str, Option<u64>)],
}

impl Place {
    /// Whether the file is there, or the folder with all files, as `sd-data` checks it.
    fn is_complete(&self, data: &Path) -> bool {
        let path = data.join(self.name);
        let is_whole = |(name, size): &(&str, Option<u64>)| {
            let file = path.join(name).metadata().ok().filter(fs::Metadata::is_file);
            file.is_some_and(|file| size.is_none_or(|size| file.len() == size))
        };
        path.exists() && self.files.iter().all(is_whole)
    }
}

/// Prints the table, or one JSON document. The exit code is 1 if `train` cannot run.
pub fn doctor(as_json: bool) -> Result<ExitCode> {
    let rows = examine();
    let healthy = rows.iter().all(|row| row.state != State::Missing);
    let text =
        if as_json { json!({"ok": healthy, "rows": rows}).to_string() } else { table(&rows) };
    print(text)?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Not installed; `train` does not need it or downloads it.
    Absent,
    /// Not installed or not usable, and `train` needs it.
    Missing,
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    state: State,
    found: String,
    /// The command that installs it.
    fix: Option<String>,
}

impl Row {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Ok, found: found.into(), fix: None }
    }

    fn not(name: &str, state: State, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into()).filter(|fix| !fix.is_empty());
        Self { name: name.to_owned(), state, found: found.into(), fix }
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let line = |Row { name, state, found, fix }: &Row| {
        let state = match state {
            State::Ok => "ok",
            State::Absent => "absent",
            State::Missing => "MISSING",
        };
        let fix = fix.iter().map(|fix| format!("\n{:width$}           -> {fix}", ""));
        format!("{name:width$}  {state:7}  {found}{}", fix.collect::<String>())
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn examine() -> Vec<Row> {
    let pip = pip();
    let setup = Setup::from_environment();
    let libtorch = libtorch(&setup, pip.state == State::Ok);
    let mut rows = vec![rust(), cpp(), pip, libtorch, cuda(&setup)];
    let root = workspace::root();
    rows.extend(data_sets(
        &env::var_os("SD_DATA_DIR").map_or_else(|| root.join("data"), PathBuf::from),
    ));
    rows.extend(libtorch::free_bytes(&root).map(|bytes| Row::ok("free disk", gigabytes(bytes))));
    rows.extend(std::thread::available_parallelism().map(|n| Row::ok("cores", n.to_string())));
    rows.extend(memory().map(|bytes| Row::ok("memory", gigabytes(bytes))));
    rows
}

fn rust() -> Row {
    match first_line("rustc", &["--version"]) {
        Some(version) => Row::ok("Rust", version),
        None => Row::not("Rust", State::Missing, "no rustc", "install it from https://rustup.rs"),
    }
}

fn cpp() -> Row {
    let names = match env::var("CXX") {
        Ok(name) if !name.is_empty() => vec![name],
        _ => ["c++", "g++", "clang++"].map(str::to_owned).to_vec(),
    };
    if let Some(version) = names.iter().find_map(|name| first_line(name, &["--version"])) {
        return Row::ok("C++ compiler", version);
    }
    let found = format!("no {} (tch compiles C++)", names.join(", "));
    let macos = cfg!(target_os = "macos");
    let fix = if macos { "xcode-select --install" } else { "apt-get install g++" };
    Row::not("C++ compiler", State::Missing, found, fix)
}

fn pip() -> Row {
    let name = libtorch::python().display().to_string();
    let mut pip = Command::new(&name);
    // Python imports modules from the current folder first; `/` is the administrator's.
    pip.args(["-m", "pip", "--version"]).current_dir("/");
    match output_line(&mut pip) {
        // `pip 24.0 from FOLDER (python 3.12)`
        Some(version) => Row::ok("pip", version.split(" from ").next().unwrap_or_default()),
        None => {
            let found = format!("no `{name} -m pip`, which downloads libtorch");
            Row::not("pip", State::Absent, found, "apt-get install python3-pip")
        }
    }
}

fn libtorch(setup: &Result<Setup>, has_pip: bool) -> Row {
    let missing = |found: String, fix| Row::not("libtorch", State::Missing, found, fix);
    let setup = match setup {
        Ok(setup) => setup,
        Err(error) => return missing(error.to_string(), String::new()),
    };
    if setup.user_libtorch.is_some() {
        return match setup.ensure() {
            Ok(libtorch) => Row::ok("libtorch", libtorch.to_string()),
            Err(error) => missing(error.to_string(), "unset LIBTORCH".to_owned()),
        };
    }
    match (setup.linked(), setup.platform()) {
        (Some(libtorch), _) => Row::ok("libtorch", libtorch.to_string()),
        (None, Err(error)) => {
            let fix = format!("export LIBTORCH=FOLDER of a libtorch {}", libtorch::VERSION);
            missing(error.to_string(), fix)
        }
        (None, Ok(_)) => Row::not(
            "libtorch",
            if has_pip { State::Absent } else { State::Missing },
            "not linked into this clone; `cargo xtask train` downloads it",
            "cargo xtask setup",
        ),
    }
}

fn cuda(setup: &Result<Setup>) -> Row {
    let query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    let Some(driver) = first_line("nvidia-smi", &query) else {
        return Row::not("CUDA", State::Absent, "no NVIDIA driver found; the CPU computes", "");
    };
    let supported = setup.as_ref().is_ok_and(|setup| {
        let folder = setup.user_libtorch.clone().unwrap_or_else(|| setup.root.join(".libtorch"));
        folder.join("lib/libtorch_cuda.so").exists()
    });
    if supported {
        return Row::ok("CUDA", driver);
    }
    let fix = format!("cargo xtask setup --cuda (takes {} GB)", Flavour::Cuda.gigabytes());
    Row::not("CUDA", State::Absent, format!("{driver}; this libtorch has no CUDA support"), fix)
}

fn data_sets(data: &Path) -> Vec<Row> {
    let row = |name: &str, places: &[Place], state, fix| {
        let found = |place: &Place| data.join(place.name).display().to_string();
        if let Some(place) = places.iter().find(|place| place.is_complete(data)) {
            return Row::ok(name, found(place));
        }
        let incomplete = places.iter().find(|place| data.join(place.name).exists());
        let found = match incomplete {
            Some(place) => format!("incomplete: {}", found(place)),
            None => format!("not in {}", data.display()),
        };
        Row::not(name, state, found, fix)
    };
    let restore = format!("git checkout -- data/{INCLUDED}, with SD_DATA_DIR unset");
    let included = [Place { name: INCLUDED, files: &[] }];
    let mut rows = vec![row(INCLUDED, &included, State::Missing, restore)];
    rows.extend(DOWNLOADABLE.iter().map(|(name, places)| {
        row(name, places, State::Absent, format!("cargo xtask data fetch {name}"))
    }));
    rows
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Bytes of memory, on Linux or macOS.
fn memory() -> Option<u64> {
    match fs::read_to_string("/proc/meminfo") {
        Ok(text) => Some(1024 * text.split_whitespace().nth(1)?.parse::<u64>().ok()?),
        Err(_) => first_line("sysctl", &["-n", "hw.memsize"])?.parse().ok(),
    }
}

/// First line that a program prints; `None` if it fails.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    output_line(Command::new(program).args(args))
}

fn output_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_included_data_set_is_required() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("cifar-100-binary.tar.gz"), "").unwrap();
        let rows = data_sets(data.path());
        let states = rows.iter().map(|row| row.state).collect::<Vec<_>>();
        assert_eq!(states, [State::Missing, State::Absent, State::Ok, State::Absent]);
        assert_eq!(rows[1].fix.as_deref(), Some("cargo xtask data fetch cifar10"));
        fs::create_dir(data.path().join(INCLUDED)).unwrap();
        assert_eq!(data_sets(data.path())[0].state, State::Ok);
    }

    #[test]
    fn a_data_set_is_there_when_all_its_files_are() {
        let data = tempfile::tempdir().unwrap();
        for (index, (name, places)) in DOWNLOADABLE.iter().enumerate() {
            let folder = data.path().join(places[0].name);
            fs::create_dir(&folder).unwrap();
            for (file, size) in places[0].files {
                let row = &data_sets(data.path())[1 + index];
                assert_eq!(row.state, State::Absent, "{row:?}");
                assert!(row.found.starts_with("incomplete: "), "{row:?}");
                assert_eq!(row.fix.as_deref(), Some(&*format!("cargo xtask data fetch {name}")));
                let file = fs::File::create(folder.join(file)).unwrap();
                file.set_len(size.unwrap_or(1)).unwrap();
            }
            assert_eq!(data_sets(data.path())[1 + index].state, State::Ok);
        }
    }

    #[test]
    fn the_files_are_those_that_sd_data_expects() {
        for (recipe, (name, places)) in sd_data::fetch::published().iter().zip(DOWNLOADABLE) {
            assert_eq!(recipe.name, name);
            let (folder, files) = match &recipe.unpacked {
                Some(unpacked) => (&unpacked.folder, unpacked.files.clone()),
                None => {
                    let names = recipe.files.iter().map(|file| (file.name.clone(), None));
                    (recipe.folder.as_ref().unwrap(), names.collect())
                }
            };
            assert_eq!(places[0].name, folder);
            let expected: Vec<_> = files.iter().map(|(name, size)| (&**name, *size)).collect();
            assert_eq!(places[0].files, expected);
            if let Some(archive) = places.get(1) {
                assert_eq!(archive.name, recipe.files[0].name);
            }
        }
    }

    #[test]
    fn libtorch_is_missing_if_it_cannot_be_downloaded() {
        let folder = tempfile::tempdir().unwrap();
        let setup = || Setup {
            root: folder.path().join("clone"),
            cache: folder.path().join("cache"),
            python: "python3".into(),
            system: ("linux", "x86_64"),
            user_libtorch: None,
            free_bytes: libtorch::free_bytes,
        };
        assert_eq!(libtorch(&Ok(setup()), true).state, State::Absent);
        assert_eq!(libtorch(&Ok(setup()), false).state, State::Missing);
        let unsupported = Setup { system: ("linux", "s390x"), ..setup() };
        assert_eq!(libtorch(&Ok(unsupported), true).state, State::Missing);
        let wrong = Setup { user_libtorch: Some(folder.path().into()), ..setup() };
        let row = libtorch(&Ok(wrong), true);
        assert_eq!((row.state, row.fix.as_deref()), (State::Missing, Some("unset LIBTORCH")));
    }

    #[test]
    fn only_rows_that_are_not_ok_have_a_fix() {
        let rows = examine();
        assert!(rows.len() >= 10, "{rows:?}");
        for row in &rows {
            let optional = row.state == State::Absent && row.name == "CUDA";
            assert!(optional || row.fix.is_some() == (row.state != State::Ok), "{row:?}");
        }
        assert_eq!(json!(rows[0])["state"], "ok");
    }

    #[test]
    fn the_table_aligns_its_columns_and_shows_the_fix() {
        let rows = [Row::ok("a", "1"), Row::not("long", State::Missing, "none", "get it")];
        assert_eq!(table(&rows), "a     ok       1\nlong  MISSING  none\n               -> get it");
    }
}
