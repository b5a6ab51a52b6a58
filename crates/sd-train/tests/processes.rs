//! Training in several processes, by the binary, on the loopback interface.

mod common;
mod small;

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use small::{Bench, end, number};

/// An epoch of one step, so that each step's loss is recorded.
const STEPS: &[&str] = &[
    "data.dataset={ synthetic = { classes = 4, train = 40, test = 16, channels = 1, height = 32, width = 32, seed = 0 } }",
    "data.validation={ fraction = 0.2, seed = 0 }",
    "train.batch_size=32",
    "train.epochs=50",
    "train.sync_batch_norm=true",
];

const LAST: &str = "last.ckpt.safetensors";

impl Bench {
    /// One of two processes.
    fn rank(&self, rank: usize, port: u16, run: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(run, arguments);
        let variables = [("RANK", rank.to_string()), ("WORLD_SIZE", "2".to_owned())];
        command.envs(variables).env("MASTER_ADDR", "127.0.0.1");
        command.env("MASTER_PORT", port.to_string());
        command
    }

    /// Both of two processes.
    fn both(&self, run: &str, arguments: &[&str]) -> [Child; 2] {
        let port = free_port();
        [0, 1].map(|rank| self.rank(rank, port, run, arguments).spawn().unwrap())
    }

    /// Training and validation loss of each epoch.
    fn losses(&self, run: &str) -> Vec<[f64; 2]> {
        let run = sd_report::Run::open(self.path(run, "")).unwrap();
        let valid = |epoch: &sd_report::EpochRecord| epoch.valid.as_ref().unwrap().ensemble.loss;
        run.epochs.iter().map(|epoch| [epoch.loss, valid(epoch)]).collect()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn relative(found: f64, expected: f64) -> f64 {
    (found / expected - 1.0).abs()
}

#[test]
fn two_processes_with_synchronised_batch_norm_follow_the_single_one() {
    let bench = Bench::new(STEPS);
    for (run, arguments) in [("one", &[][..]), ("two", &["--processes", "2"])] {
        let (code, stderr) = bench.finish(run, arguments);
        assert_eq!(code, Some(0), "{stderr}");
    }
    let (one, two) = (bench.losses("one"), bench.losses("two"));
    let differences = |step: usize| [0, 1].map(|of| relative(two[step][of], one[step][of]));
    for step in 0..10 {
        let [train, valid] = differences(step);
        assert!(train < 1e-4 && valid < 1e-4, "step {}: {train:e}, {valid:e}", step + 1);
    }
    let [first, tenth, last] = [0, 9, 49].map(|step| differences(step)[0]);
    println!(
        "relative difference of the loss: {first:e} in step 1, {tenth:e} in 10, {last:e} in 50"
    );
}

#[test]
fn an_interrupted_run_resumes_with_the_same_or_another_number_of_processes() {
    let bench = Bench::new(&["train.sync_batch_norm=true"]);
    let two = ["--processes", "2"];
    assert_eq!(bench.finish("whole", &two).0, Some(0));
    let environment = fs::read_to_string(bench.path("whole", "environment.json")).unwrap();
    assert!(environment.contains("\"processes\": 2"), "{environment}");
    for (run, processes, next) in [("same", "2", "2"), ("fewer", "2", "1"), ("more", "1", "2")] {
        let (code, stderr) = bench.finish(run, &["--max-steps", "17", "--processes", processes]);
        assert_eq!(code, Some(130), "{stderr}");
        let (code, stderr) = bench.finish(run, &["--resume", "--processes", next]);
        assert_eq!(code, Some(0), "{stderr}");
        let (found, whole) = (bench.losses(run), bench.losses("whole"));
        let [found, whole] = [found, whole].map(|losses| losses.last().unwrap()[1]);
        assert!(relative(found, whole) < 1e-2, "{run}: {found}, {whole}");
    }
    assert!(bench.weights("same") == bench.weights("whole"), "other weights");
}

/// Kills each rank at random moments. The other ends on its own and names it, and the resumed run ends
/// with the bits of a run that was never killed. `SD_KILLS` says how many for each rank, `SD_KILL_SEED`
/// which.
#[test]
fn a_killed_rank_ends_the_other_and_the_resumed_run_ends_with_the_same_bits() {
    let (kills, seed) = (number("SD_KILLS", 1), number("SD_KILL_SEED", 0));
    let mut moments = StdRng::seed_from_u64(seed);
    let bench = Bench::new(&[]);
    let started = Instant::now();
    for child in bench.both("whole", &[]) {
        assert_eq!(end(child.wait_with_output().unwrap()).0, Some(0));
    }
    let (length, whole) = (started.elapsed(), bench.weights("whole"));
    let mut longest = Duration::ZERO;
    for kill in 0..2 * kills {
        let (run, victim) = (format!("killed{kill}"), kill as usize % 2);
        let mut children = bench.both(&run, &[]);
        // From the first checkpoint on, and before the end.
        while !bench.path(&run, LAST).exists() {
            sleep(Duration::from_millis(2));
            assert!(children[0].try_wait().unwrap().is_none(), "ended before its first checkpoint");
        }
        sleep(length.mul_f64(moments.random_range(0.0..0.3)));
        children[victim].kill().unwrap();
        let killed = Instant::now();
        let mut outputs = children.map(|child| end(child.wait_with_output().unwrap()));
        longest = longest.max(killed.elapsed());
        let (code, stderr) = std::mem::take(&mut outputs[1 - victim]);
        if bench.path(&run, "model.safetensors").exists() {
            println!("kill {kill} of rank {victim} came after the last step");
            continue;
        }
        assert_eq!(code, Some(1), "{stderr}");
        let named = format!("error: rank {}: ", 1 - victim);
        assert!(
            stderr.contains(&named) && stderr.contains(&format!(": rank {victim}")),
            "{stderr}"
        );
        for child in bench.both(&run, &["--resume"]) {
            let (code, stderr) = end(child.wait_with_output().unwrap());
            assert_eq!(code, Some(0), "{stderr}");
        }
        assert!(bench.weights(&run) == whole, "{run}: other weights");
    }
    println!(
        "{kills} kills of each of two ranks at random moments of seed {seed}: the other ended within \
         {longest:.1?}; all resumed runs ended with the bits of the whole run"
    );
    assert!(longest < Duration::from_secs(20 + 10), "{longest:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_processes_of_a_killed_launcher_stop() {
    let bench = Bench::new(&["train.epochs=1000000"]);
    let two = ["--processes", "2"];
    let mut launcher = bench.command("run", &two).spawn().unwrap();
    while !bench.path("run", LAST).exists() {
        sleep(Duration::from_millis(2));
        assert!(launcher.try_wait().unwrap().is_none(), "ended before its first checkpoint");
    }
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    // They hold the run's lock until they have written a checkpoint.
    let killed = Instant::now();
    loop {
        let (code, stderr) = bench.finish("run", &["--resume", "--max-steps", "1"]);
        if code == Some(130) {
            break;
        }
        assert!(killed.elapsed() < Duration::from_secs(60), "{code:?}: {stderr}");
        sleep(Duration::from_millis(50));
    }
    // Both they and the resumed run have written a checkpoint.
    let log = fs::read_to_string(bench.path("run", "log.jsonl")).unwrap();
    assert_eq!(log.matches("interrupted; ").count(), 2, "{log}");
}

/// As where rank 0's disk is full: it cannot write.
#[test]
fn the_reason_for_which_rank_0_ends_reaches_the_others() {
    let bench = Bench::new(&[]);
    fs::write(bench.path("", "file"), "").unwrap();
    let children = bench.both("file/run", &[]);
    let [first, second] = children.map(|child| end(child.wait_with_output().unwrap()));
    assert_eq!((first.0, second.0), (Some(1), Some(1)));
    assert!(first.1.contains("cannot write into the run's folder"), "{}", first.1);
    let expected = "rank 0 has failed: cannot write into the run's folder";
    assert!(second.1.contains(expected), "{}", second.1);
}

#[test]
fn a_port_in_use_and_a_wrong_environment_are_refused() {
    let bench = Bench::new(&[]);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let (code, stderr) = end(bench.rank(0, port, "run", &[]).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("rank 0: port {port} is in use")), "{stderr}");

    let (code, stderr) = end(bench.command("run", &[]).env("RANK", "0").output().unwrap());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("WORLD_SIZE is not set"), "{stderr}");

    let (code, stderr) = bench.finish("run", &["--processes", "3"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("train.batch_size is 8, expected a multiple of the 3"), "{stderr}");
    assert!(!bench.path("run", LAST).exists());
}
