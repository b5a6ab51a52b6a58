//! Faults of a shared machine, inflicted on the binary: kills, signals, damage.

mod common;
mod small;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use signal_hook::consts::SIGHUP;
use small::{Bench, number};

const LAST: &str = "last.ckpt.safetensors";
const PREVIOUS: &str = "previous.ckpt.safetensors";

impl Bench {
    fn start(&self, run: &str, arguments: &[&str]) -> Child {
        self.command(run, arguments).spawn().unwrap()
    }

    /// A run that was never disturbed.
    fn whole(&self) -> Vec<u8> {
        let (code, stderr) = self.finish("whole", &[]);
        assert_eq!(code, Some(0), "{stderr}");
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

/// Whether a file in a run's folder is hidden, as temporary files are, and not the lock.
fn is_temporary(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with('.') && name != sd_report::run_folder::LOCK
}

/// Kills at random moments, from before the first step to the end, among them such within the write
/// of a checkpoint: half of a step's time is that. A moment that comes after the end is drawn again.
/// `SD_KILLS` says how many, `SD_KILL_SEED` which.
#[test]
fn killed_at_any_moment_and_resumed_a_run_ends_with_the_same_bits() {
    let (kills, seed) = (number("SD_KILLS", 6), number("SD_KILL_SEED", 0));
    let mut moments = StdRng::seed_from_u64(seed);
    let bench = Bench::new(&[]);
    let started = Instant::now();
    let whole = bench.whole();
    let mut length = started.elapsed();
    let (mut killed, mut late, mut unfinished, mut resumed) = (0, 0, 0, 0);
    while killed < kills {
        let run = format!("killed{}", killed + late);
        let mut child = bench.start(&run, &[]);
        sleep(length.mul_f64(moments.random()));
        if child.try_wait().unwrap().is_some() {
            late += 1;
            assert!(late <= kills, "most runs end before their moment");
            // The machine may be less busy than it was for the whole run.
            length = length.mul_f64(0.7);
            continue;
        }
        killed += 1;
        child.kill().unwrap();
        child.wait().unwrap();
        let left = fs::read_dir(bench.path(&run, "")).map_or(0, |folder| {
            folder.filter(|entry| is_temporary(&entry.as_ref().unwrap().file_name())).count()
        });
        unfinished += u64::from(left > 0);
        let begun = bench.path(&run, LAST).exists() || bench.path(&run, PREVIOUS).exists();
        resumed += u64::from(begun);
        let (code, stderr) = bench.finish(&run, if begun { &["--resume"] } else { &[] });
        assert_eq!(code, Some(0), "{run}: {stderr}");
        assert!(bench.weights(&run) == whole, "{run}: other weights");
        let run = sd_report::Run::open(bench.path(&run, "")).unwrap();
        assert_eq!(run.epochs.iter().map(|epoch| epoch.epoch).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let mut names = fs::read_dir(&run.folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.any(|name| is_temporary(&name)));
    }
    println!(
        "{kills} kills at random moments of seed {seed}: {resumed} after the first checkpoint, \
         {unfinished} within the write of a file; all ended with the bits of the whole run ({late} \
         moments after its end were drawn again)"
    );
    assert!(resumed > 0);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let bench = Bench::new(&[]);
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
        let (code, stderr) = bench.finish(run, &["--resume", "--max-steps", "17"]);
        assert_eq!(code, Some(130), "{stderr}");
        for expected in [LAST, "not a whole", "the previous checkpoint", "epoch 1, step 4"] {
            assert!(stderr.contains(expected), "`{expected}` is not in: {stderr}");
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
    let (code, stderr) = bench.finish("both", &["--resume"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(PREVIOUS) && stderr.contains("not a whole"), "{stderr}");
}

#[test]
fn a_position_that_the_run_does_not_have_and_another_version_are_refused() {
    let bench = Bench::new(&[]);
    for (run, more, changes) in [
        (
            "plain",
            &[][..],
            &[
                ("/images/train/checksum", 7, "training images: 96 of checksum 00000007 then"),
                ("/step_in_epoch", 13, "epoch 0, step 13; the run has 4 epochs of 12 steps"),
                ("/counts/images", 1_000_000_000, "images in step 2, expected at most 16"),
                ("/version", 1, "checkpoint version 1, expected"),
            ][..],
        ),
        // More steps than an epoch has, fewer than its batches.
        (
            "gathered",
            &["-s", "train.accumulate=3"],
            &[("/step_in_epoch", 7, "epoch 0, step 7; the run has 4 epochs of 4 steps")],
        ),
    ] {
        let finish = |last: &[&str]| bench.finish(run, &[more, last].concat());
        assert_eq!(finish(&["--max-steps", "2"]).0, Some(130));
        let file = sd_models::TensorFile::read(&bench.path(run, LAST)).unwrap();
        for &(key, value, expected) in changes {
            let mut position: serde_json::Value =
                serde_json::from_str(&file.metadata["position"]).unwrap();
            *position.pointer_mut(key).unwrap() = value.into();
            let metadata = [("position".to_owned(), position.to_string())].into();
            let tensors = file.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.copy()));
            let changed = sd_models::TensorFile { tensors: tensors.collect(), metadata };
            fs::write(bench.path(run, LAST), changed.to_bytes().unwrap()).unwrap();
            // The limit ends a run that was not refused, and otherwise never would.
            let (code, stderr) = finish(&["--resume", "--time-limit", "0s"]);
            assert!(code == Some(1) && stderr.contains(expected), "{key}: {stderr}");
        }
    }
}

/// Writes an IDX file of bytes.
fn write_idx(path: PathBuf, sides: &[u32], bytes: &[u8]) {
    let magic = [0, 0, 8, sides.len() as u8];
    let sides = sides.iter().flat_map(|side| side.to_be_bytes());
    let file: Vec<u8> = magic.into_iter().chain(sides).chain(bytes.iter().copied()).collect();
    fs::write(path, file).unwrap();
}

#[test]
fn another_data_set_of_the_same_name_is_refused_with_what_differs() {
    let bench = Bench::new(&[]);
    let files = bench.folder.path().join("data").join("made");
    fs::create_dir_all(&files).unwrap();
    let write = |split: &str, pixel: u8| {
        let mut pixels: Vec<u8> = (0..64 * 32 * 32).map(|at| (at * 7 % 251) as u8).collect();
        pixels[5] = pixel;
        let labels: Vec<u8> = (0..64).map(|image| image % 4).collect();
        write_idx(files.join(format!("{split}-images-idx3-ubyte")), &[64, 32, 32], &pixels);
        write_idx(files.join(format!("{split}-labels-idx1-ubyte")), &[64], &labels);
    };
    let names = |names: &str| fs::write(files.join("class_names.txt"), names).unwrap();
    let whole = || {
        write("train", 0);
        write("t10k", 0);
        names("a\nb\nc\nd\n");
    };
    whole();
    let made = "data.dataset={ idx = { folder = \"made\", classes = 4, height = 32, width = 32 } }";
    assert_eq!(bench.finish("run", &["-s", made, "--max-steps", "2"]).0, Some(130));
    let changes: [(&dyn Fn(), &str); 3] = [
        (&|| write("train", 1), "another data set: training images: 48 of checksum"),
        (&|| write("t10k", 1), "another data set: test images: 64 of checksum"),
        (&|| names("a\nb\nd\nc\n"), "another data set: class names: 4 of checksum"),
    ];
    for (change, expected) in changes {
        change();
        let (code, stderr) = bench.finish("run", &["-s", made, "--resume"]);
        assert!(code == Some(1) && stderr.contains(expected), "{stderr}");
        whole();
    }
    assert_eq!(bench.finish("run", &["-s", made, "--resume"]).0, Some(0));
}

#[test]
fn a_signal_finishes_the_step_and_leaves_a_checkpoint() {
    let bench = Bench::new(&[]);
    // Where the tests run with SIGHUP ignored, as under `nohup`, a run would inherit that and train
    // on; what its parent catches is set back to the default for it.
    signal_hook::flag::register(SIGHUP, Arc::default()).unwrap();
    let whole = bench.whole();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let mut child = bench.start(name, &[]);
        wait_for(&bench.path(name, LAST), &mut child);
        // Its terminal is gone: nobody reads its output.
        drop(child.stderr.take());
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        let (code, stderr) = bench.finish(name, &["--resume"]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(bench.weights(name) == whole, "{name}: other weights");
    }
}

/// As `nohup` starts it.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_was_started_to_ignore_the_hang_up_trains_on() {
    let bench = Bench::new(&[]);
    let direct = bench.command("run", &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(direct.get_program());
    shell.args(direct.get_args()).current_dir(bench.folder.path());
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    wait_for(&bench.path("run", LAST), &mut child);
    signal(&child, "HUP");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(0) && !stderr.contains("stopping"), "{stderr}");
}

/// The second signal comes within a step of 300 batches, which the first one lets end.
#[test]
fn the_second_signal_does_not_wait_for_the_step_and_leaves_the_checkpoint_whole() {
    let bench = Bench::new(&[]);
    let long = ["-s", "data.dataset.synthetic.train=6400", "-s", "train.accumulate=300"];
    let mut child = bench.start("twice", &long);
    wait_for(&bench.path("twice", LAST), &mut child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    signal(&child, "INT");
    let announced =
        stderr.by_ref().lines().any(|line| line.unwrap().contains("a second signal stops at once"));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    // A run that finishes its step logs this.
    assert!(announced && !rest.contains("interrupted"), "{rest}");
    assert!(!bench.path("twice", "summary.json").exists());

    let checkpoint = sd_models::TensorFile::read(&bench.path("twice", LAST)).unwrap();
    let position: serde_json::Value =
        serde_json::from_str(&checkpoint.metadata["position"]).unwrap();
    assert_eq!((&position["epoch"], &position["step_in_epoch"]), (&0.into(), &1.into()));
}

#[test]
fn a_time_limit_stops_like_an_interrupt_and_a_second_run_is_kept_out() {
    let bench = Bench::new(&[]);
    assert_eq!(bench.finish("limit", &["--time-limit", "0s"]).0, Some(130));
    // What comes with the last step has nothing left to stop.
    assert_eq!(bench.finish("limit", &["--resume", "--max-steps", "48"]).0, Some(0));
    let (code, stderr) = bench.finish("limit", &["--time-limit", "soon"]);
    assert!(code == Some(2) && stderr.contains("--time-limit"), "{stderr}");

    let mut child = bench.start("taken", &["-s", "train.epochs=400"]);
    wait_for(&bench.path("taken", LAST), &mut child);
    let so_far = || sd_report::Run::open_so_far(bench.path("taken", "")).unwrap().summary;
    assert_eq!(so_far().status, sd_report::Status::Running);
    while so_far().epochs == 0 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        sleep(Duration::from_millis(2));
    }
    for arguments in [&[][..], &["--resume"]] {
        let (code, stderr) = bench.finish("taken", arguments);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("another run trains in taken"), "{stderr}");
    }
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_folder_that_vanishes_stops_the_run_with_its_name() {
    let bench = Bench::new(&[]);
    let mut child = bench.start("gone", &["-s", "train.epochs=400"]);
    wait_for(&bench.path("gone", LAST), &mut child);
    fs::rename(bench.path("gone", ""), bench.path("moved", "")).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && stderr.contains("error: gone/"), "{stderr}");
    assert!(
        sd_models::TensorFile::read(&bench.path("moved", LAST)).is_ok()
            || sd_models::TensorFile::read(&bench.path("moved", PREVIOUS)).is_ok()
    );
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sd-train"));
    command.args(["config", "reference"]).stdout(closed).stderr(Stdio::piped());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{:?}: {stderr}", output.status);
}
