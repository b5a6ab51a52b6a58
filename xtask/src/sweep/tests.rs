//! Sweeps with a shell script in place of sd-train, which only writes the files of a run.

use super::interrupt::Interrupts;
use super::plan::Sweep;
use super::queue::{Outcome, Queue, listing};
use super::requested;
use crate::workspace;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Writes its arguments to `calls`; then behaves as the name of the run's folder tells.
const FAKE: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
readlink /proc/$$/fd/0 > "$here/stdin"
while [ $# -gt 0 ]; do
  [ "$1" = --out ] && out=$2
  shift
done
summary() { echo "{\"status\": \"$1\"}" > "$out/summary.json"; }
case $out in
*/fails-*) exit 1 ;;
*/stops-*)
  [ -e "$out/last.ckpt.safetensors" ] || { touch "$out/last.ckpt.safetensors"; summary interrupted; exit 130; } ;;
*/ends-*)
  [ -e "$out/previous.ckpt.safetensors" ] || { touch "$out/previous.ckpt.safetensors"; exit 143; } ;;
*/leaves-*) sleep 60 <&0 >/dev/null 2>&1 & ;;
*/waits-*)
  trap 'touch "$out/last.ckpt.safetensors"; summary interrupted; exit 130' INT
  touch "$out/started"
  n=0; while [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done ;;
esac
echo '{"epoch": 1, "seconds": 60.0}' > "$out/epochs.jsonl"
summary finished
"#;

struct TestSweep {
    folder: tempfile::TempDir,
}

impl TestSweep {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sweeps = Self { folder };
        fs::write(sweeps.path("a.toml"), "name = \"a\"\nseed = 9\n[train]\nepochs = 2\n").unwrap();
        fs::write(sweeps.program(), FAKE).unwrap();
        fs::set_permissions(sweeps.program(), fs::Permissions::from_mode(0o755)).unwrap();
        sweeps
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.path("fake-sd-train")
    }

    fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// A sweep of `rows` in TOML, all with the configuration `a.toml`.
    fn try_sweep(&self, rows: &[&str], top: &str) -> anyhow::Result<Sweep> {
        let mut text = format!("out = {:?}\n{top}\n", self.out());
        for row in rows {
            text += &format!("[[rows]]\nconfig = {:?}\n{row}\n", self.path("a.toml"));
        }
        fs::write(self.path("sweep.toml"), text)?;
        Sweep::read(&self.path("sweep.toml"))
    }

    fn sweep(&self, rows: &[&str]) -> Sweep {
        self.try_sweep(rows, "seeds = [0]").unwrap()
    }

    fn run(&self, sweep: &Sweep) -> Outcome {
        let queue = Queue::open(sweep).unwrap();
        queue
            .run(&self.program(), &["--threads".into(), "1".into()], &Interrupts::default())
            .unwrap()
    }

    /// Arguments of the program's calls since the last query.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn every_row_runs_with_every_seed_once() {
    let sweeps = TestSweep::new();
    let rows = ["name = \"1\"\nset = [\"train.epochs=3\"]\nseeds = [4]", ""];
    let sweep = sweeps.try_sweep(&rows, "set = [\"train.x=y\"]\nseeds = [0, 1]").unwrap();
    assert_eq!(sweeps.run(&sweep), Outcome::Finished(3));
    let (config, out) = (sweeps.path("a.toml"), sweeps.out());
    let (config, out) = (config.display(), out.display());
    let expected = [
        format!(
            "train {config} -s train.x=y -s train.epochs=3 -s name=\"1\" --seed 4 --out {out}/1-seed4 --threads 1"
        ),
        format!("train {config} -s train.x=y --seed 0 --out {out}/a-seed0 --threads 1"),
        format!("train {config} -s train.x=y --seed 1 --out {out}/a-seed1 --threads 1"),
    ];
    assert_eq!(sweeps.calls(), expected);
    assert!(Queue::open(&sweep).unwrap().is_done().unwrap());
    assert_eq!(sweeps.run(&sweep), Outcome::Finished(3));
    assert_eq!(sweeps.calls(), Vec::<String>::new());
}

#[test]
fn an_interrupted_run_stops_the_sweep_and_is_resumed() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&["name = \"first\"", "name = \"stops\"", "name = \"last\""]);
    assert_eq!(sweeps.run(&sweep), Outcome::Interrupted);
    assert_eq!(sweeps.calls().len(), 2);
    let list = listing(&sweep).unwrap();
    let words: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(words, ["finished", "begun", "new", "1"], "{list}");
    assert!(list.contains("1 of 3 runs finished; about 4 min of training left"), "{list}");

    assert_eq!(sweeps.run(&sweep), Outcome::Finished(3));
    let calls = sweeps.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[0].ends_with("--resume") && !calls[1].ends_with("--resume"), "{calls:?}");
}

#[test]
fn a_run_with_only_its_previous_checkpoint_is_resumed() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&["name = \"ends\""]);
    assert_eq!(sweeps.run(&sweep), Outcome::Interrupted);
    sweeps.calls();
    assert_eq!(sweeps.run(&sweep), Outcome::Finished(1));
    assert!(sweeps.calls()[0].ends_with("--resume"));
}

#[test]
fn a_background_process_of_a_finished_run_does_not_keep_the_lock() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&["name = \"leaves\""]);
    assert_eq!(sweeps.run(&sweep), Outcome::Finished(1));
    assert!(Queue::open(&sweep).is_ok());
}

#[test]
fn a_stop_request_interrupts_the_run_once() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&["name = \"waits\"", "name = \"last\""]);
    let interrupts = Arc::new(Interrupts::default());
    // Resets SIGINT, which scripts in the background ignore: a shell cannot trap an ignored signal.
    interrupts.install().unwrap();
    let started = sweeps.out().join("waits-seed0/started");
    let request = {
        let interrupts = Arc::clone(&interrupts);
        std::thread::spawn(move || {
            while !started.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            interrupts.interrupt();
        })
    };
    let queue = Queue::open(&sweep).unwrap();
    assert_eq!(queue.run(&sweeps.program(), &[], &interrupts).unwrap(), Outcome::Interrupted);
    request.join().unwrap();
    assert!(sweeps.out().join("waits-seed0/last.ckpt.safetensors").exists());
    assert_eq!(sweeps.calls().len(), 1);
    // No run starts after a request.
    assert_eq!(queue.run(&sweeps.program(), &[], &interrupts).unwrap(), Outcome::Interrupted);
    assert_eq!(sweeps.calls().len(), 0);
}

#[test]
fn a_failed_run_is_reported_and_the_others_continue() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&["name = \"fails\"", "name = \"last\""]);
    assert_eq!(sweeps.run(&sweep), Outcome::Failed(vec!["fails-seed0".to_owned()]));
    assert!(sweeps.out().join("last-seed0/summary.json").exists());
    // Repeated from the start, since there is no checkpoint.
    sweeps.calls();
    assert_eq!(sweeps.run(&sweep), Outcome::Failed(vec!["fails-seed0".to_owned()]));
    let calls = sweeps.calls();
    assert!(calls.len() == 1 && !calls[0].contains("--resume"), "{calls:?}");
}

#[test]
fn another_configuration_in_the_folder_is_an_error_before_anything_runs() {
    let sweeps = TestSweep::new();
    let rows = ["name = \"new\"", ""];
    sweeps.run(&sweeps.sweep(&rows[1..]));
    sweeps.calls();
    let changed = sweeps.try_sweep(&rows, "seeds = [0]\nset = [\"train.epochs=5\"]").unwrap();
    let queue = Queue::open(&changed).unwrap();
    let error = queue.run(&sweeps.program(), &[], &Interrupts::default()).unwrap_err().to_string();
    assert!(error.contains("a-seed0 holds a run of another configuration"), "{error}");
    assert!(error.contains("train.epochs is 2 there, 5 here"), "{error}");
    assert_eq!(sweeps.calls().len(), 0);

    fs::remove_file(sweeps.out().join("a-seed0").join(requested::FILE)).unwrap();
    let error = queue.is_done().unwrap_err().to_string();
    assert!(error.contains("a run that no sweep started"), "{error}");
}

#[test]
fn a_run_holds_the_lock_after_its_sweep_was_killed() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&[""]);
    sweeps.run(&sweep);
    let held = fs::read_to_string(sweeps.path("stdin")).unwrap();
    assert_eq!(Path::new(held.trim_end()), sweeps.out().join(".sweep.lock"));
}

#[test]
fn a_second_sweep_in_the_folder_is_refused_while_the_first_lives() {
    let sweeps = TestSweep::new();
    let sweep = sweeps.sweep(&[""]);
    let first = Queue::open(&sweep).unwrap();
    let error = Queue::open(&sweep).unwrap_err().to_string();
    assert!(error.contains("another sweep") && error.contains(".sweep.lock"), "{error}");
    drop(first);
    Queue::open(&sweep).unwrap();
}

#[test]
fn errors_name_the_row() {
    let sweeps = TestSweep::new();
    let error =
        |rows: &[&str], top: &str| format!("{:#}", sweeps.try_sweep(rows, top).unwrap_err());
    let seeds = "seeds = [0]";
    let twice = error(&["", "seeds = [1, 0]"], seeds);
    assert!(twice.contains("share the folder") && twice.contains("a-seed0"), "{twice}");
    assert!(error(&["seed = 1"], seeds).contains("unknown field `seed`"));
    assert!(error(&[""], "").contains("row 1") && error(&[""], "").contains("no `seeds`"));
    let name = error(&["set = [\"name=b\"]"], seeds);
    assert!(name.contains("`name=b`") && name.contains("as keys of the row"), "{name}");
    assert!(error(&["set = [\"epochs\"]"], seeds).contains("expected KEY=VALUE"));
    assert!(error(&["name = \"a/b\""], seeds).contains("without slashes"));
    fs::remove_file(sweeps.path("a.toml")).unwrap();
    assert!(error(&[""], seeds).contains("cannot read"));
}

#[test]
fn every_sweep_of_the_repository_parses_and_its_configurations_exist() {
    let root = workspace::root();
    let copies = tempfile::tempdir().unwrap();
    let mut requested = BTreeMap::new();
    for entry in fs::read_dir(root.join("configs/sweeps")).unwrap() {
        let path = entry.unwrap().path();
        // Tests run in the package's folder, sweeps in the workspace's.
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("\"configs/", &format!("\"{}/configs/", root.display()));
        let copy = copies.path().join(path.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        let sweep = Sweep::read(&copy).unwrap();
        assert!(sweep.out.starts_with("runs") && sweep.out != Path::new("runs"));
        for run in sweep.runs {
            assert!(run.epochs().is_some(), "{}: {}", path.display(), run.label());
            // Two sweeps that share a run request the same configuration.
            let other = requested.insert(run.folder.clone(), run.requested.clone());
            assert!(other.is_none_or(|other| other == run.requested), "{}", run.folder.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// For any list, the folders of the runs are in the folder of the sweep.
    #[test]
    fn unusual_lists_never_panic_or_leave_their_folder(
        name in "(\\.{0,2}/?[a-z\\\\\n]{0,2}|-)",
        change in "[a-z.=\\[{\"\n ]{0,12}",
        row in "[a-z=\\[\\]{}\"\n0-9 ]{0,40}",
        seed: u64,
    ) {
        let sweeps = TestSweep::new();
        let rows = [
            format!("name = {}\nset = [{}]", toml::Value::from(name), toml::Value::from(change)),
            row,
        ];
        for rows in [&rows[..1], &rows[1..]] {
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            match sweeps.try_sweep(&rows, &format!("seeds = [{seed}]")) {
                Ok(sweep) => {
                    let parents = sweep.runs.iter().map(|run| run.folder.parent().unwrap());
                    prop_assert!(parents.into_iter().all(|parent| parent == sweeps.out()));
                }
                Err(error) => prop_assert!(error.to_string().contains("sweep.toml"), "{error:#}"),
            }
        }
    }
}
