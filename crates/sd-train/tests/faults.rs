//! What can happen to a run on a shared machine, done to the binary: kills, signals, damage.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::tiny;

/// Small steps, so that there are many places to be killed at.
const CONFIG: &[&str] = &[
    "name=small",
    "seed=5",
    "data.dataset={ synthetic = { classes = 4, train = 128, test = 16, channels = 1, height = 32, width = 32, seed = 0 } }",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "data.augment=[{ pad_crop = { padding = 2 } }]",
    "model.exits.after=[2]",
    "train.epochs=4",
    "train.batch_size=8",
];

const LAST: &str = "last.ckpt.safetensors";
const PREVIOUS: &str = "previous.ckpt.safetensors";

/// A folder with the configuration, and runs in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small.toml"), tiny(CONFIG).unwrap().to_toml().unwrap())
            .unwrap();
        Self { folder }
    }

    fn path(&self, run: &str, file: &str) -> PathBuf {
        self.folder.path().join(run).join(file)
    }

    /// `sd-train train` into `run`, which checkpoints after every step.
    fn command(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sd-train"));
        let common =
            ["--device", "cpu", "--threads", "1", "--checkpoint-every", "0s", "--out", run];
        command.args(["train", "small.toml"]).args(common).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        command
    }

    fn start(&self, run: &str, arguments: &[&str]) -> Child {
        self.command(run, arguments).spawn().unwrap()
    }

    /// Its exit code, and what it said.
    fn finish(&self, run: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(run, arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn weights(&self, run: &str) -> Vec<u8> {
        fs::read(self.path(run, "model.safetensors")).unwrap()
    }

    /// A run that was never disturbed.
    fn whole(&self) -> Vec<u8> {
        let (code, said) = self.finish("whole", &[]);
        assert_eq!(code, Some(0), "{said}");
        self.weights("whole")
    }
}

/// Waits until `path` is there, as long as the run is at work.
fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(2));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Kills at moments spread evenly, from before the first step to the end, among them such within
/// the write of a checkpoint: half of a step's time is that. `SD_KILLS` says how many.
#[test]
fn killed_at_any_moment_and_resumed_a_run_ends_with_the_same_bits() {
    let kills: u32 = std::env::var("SD_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let bench = Bench::new();
    let started = Instant::now();
    let whole = bench.whole();
    let length = started.elapsed();
    let (mut mid_run, mut unfinished, mut resumed) = (0, 0, 0);
    for kill in 0..kills {
        let run = format!("killed{kill}");
        let mut child = bench.start(&run, &[]);
        sleep(length * kill / kills);
        mid_run += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let left = fs::read_dir(bench.path(&run, "")).map_or(0, |folder| {
            let names = folder.map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_string_lossy().starts_with(".sd-")).count()
        });
        unfinished += u32::from(left > 0);
        let begun = bench.path(&run, LAST).exists() || bench.path(&run, PREVIOUS).exists();
        resumed += u32::from(begun);
        let (code, said) = bench.finish(&run, if begun { &["--resume"] } else { &[] });
        assert_eq!(code, Some(0), "kill {kill}: {said}");
        assert!(bench.weights(&run) == whole, "kill {kill}: other weights");
        let run = sd_bench::Run::open(bench.path(&run, "")).unwrap();
        assert_eq!(run.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let hidden = fs::read_dir(&run.folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(hidden.into_iter().all(|name| !name.to_string_lossy().starts_with(".sd-")));
    }
    println!(
        "{kills} kills: {mid_run} before the run's end, {resumed} after its first checkpoint, \
         {unfinished} within the write of a file; all ended with the bits of the whole run"
    );
    assert!(mid_run > kills / 2 && resumed > 0);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let bench = Bench::new();
    let whole = bench.whole();
    type Damage = fn(&mut Vec<u8>);
    let truncated: Damage = |bytes| bytes.truncate(bytes.len() / 2);
    let flipped: Damage = |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    };
    for (run, damage) in [("truncated", truncated), ("flipped", flipped)] {
        assert_eq!(bench.finish(run, &["--max-steps", "17"]).0, Some(130));
        let last = bench.path(run, LAST);
        let mut bytes = fs::read(&last).unwrap();
        damage(&mut bytes);
        fs::write(&last, &bytes).unwrap();
        let (code, said) = bench.finish(run, &["--resume", "--max-steps", "17"]);
        assert_eq!(code, Some(130), "{said}");
        for expected in [LAST, "not a whole", "the checkpoint before it", "epoch 1, step 4"] {
            assert!(said.contains(expected), "`{expected}` is not in: {said}");
        }
        let previous = bench.path(run, PREVIOUS);
        assert!(sd_models::TensorFile::read(&previous).is_ok(), "{run}: the damaged one stayed");
        assert_eq!(bench.finish(run, &["--resume"]).0, Some(0));
        assert!(bench.weights(run) == whole, "{run}: other weights");
    }

    assert_eq!(bench.finish("both", &["--max-steps", "3"]).0, Some(130));
    for file in [LAST, PREVIOUS] {
        fs::write(bench.path("both", file), "no checkpoint").unwrap();
    }
    let (code, said) = bench.finish("both", &["--resume"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(PREVIOUS) && said.contains("not a whole"), "{said}");
}

#[test]
fn other_images_and_another_version_are_refused() {
    let bench = Bench::new();
    assert_eq!(bench.finish("run", &["--max-steps", "2"]).0, Some(130));
    let file = sd_models::TensorFile::read(&bench.path("run", LAST)).unwrap();
    let changed = |key: &str, value: serde_json::Value| {
        let mut position: serde_json::Value =
            serde_json::from_str(&file.metadata["position"]).unwrap();
        *position.pointer_mut(key).unwrap() = value;
        let metadata = [("position".to_owned(), position.to_string())].into();
        let tensors = file.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.copy()));
        let changed = sd_models::TensorFile { tensors: tensors.collect(), metadata };
        fs::write(bench.path("run", LAST), changed.to_bytes().unwrap()).unwrap();
        let (code, said) = bench.finish("run", &["--resume"]);
        assert_eq!(code, Some(1), "{said}");
        said
    };
    let said = changed("/images/checksum", 7.into());
    assert!(said.contains("other images: 96 of checksum 00000007"), "{said}");
    let said = changed("/step_in_epoch", 13.into());
    assert!(said.contains("epoch 0, step 13; the run has 4 epochs of 12 steps"), "{said}");
    let said = changed("/version", 1.into());
    assert!(said.contains("checkpoint version 1, expected"), "{said}");
}

#[test]
fn a_signal_finishes_the_step_and_leaves_a_checkpoint() {
    let bench = Bench::new();
    let whole = bench.whole();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let mut child = bench.start(name, &[]);
        wait_for(&bench.path(name, LAST), &mut child);
        // Its terminal is gone: nobody reads what it says.
        drop(child.stderr.take());
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        let (code, said) = bench.finish(name, &["--resume"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(bench.weights(name) == whole, "{name}: other weights");
    }
}

#[test]
fn a_time_limit_stops_like_an_interrupt_and_a_second_run_is_kept_out() {
    let bench = Bench::new();
    assert_eq!(bench.finish("limit", &["--time-limit", "0s"]).0, Some(130));
    assert_eq!(bench.finish("limit", &["--resume"]).0, Some(0));
    let (code, said) = bench.finish("limit", &["--time-limit", "soon"]);
    assert!(code == Some(2) && said.contains("--time-limit"), "{said}");

    let mut child = bench.start("taken", &["-s", "train.epochs=400"]);
    wait_for(&bench.path("taken", LAST), &mut child);
    for arguments in [&[][..], &["--resume"]] {
        let (code, said) = bench.finish("taken", arguments);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("another run trains in taken"), "{said}");
    }
    // The second signal does not wait for the step.
    signal(&child, "INT");
    signal(&child, "INT");
    let status: ExitStatus = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_folder_that_vanishes_stops_the_run_with_its_name() {
    let bench = Bench::new();
    let mut child = bench.start("gone", &["-s", "train.epochs=400"]);
    wait_for(&bench.path("gone", LAST), &mut child);
    fs::rename(bench.path("gone", ""), bench.path("moved", "")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("error: gone/"), "{said}");
    assert!(
        sd_models::TensorFile::read(&bench.path("moved", LAST)).is_ok()
            || sd_models::TensorFile::read(&bench.path("moved", PREVIOUS)).is_ok()
    );
}
