//! The binary, trained on many short steps: many places to be killed at.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::common::tiny;

/// Four epochs of 12 steps, each `KEY=VALUE` as on the command line.
const SMALL: &[&str] = &[
    "name=small",
    "seed=5",
    "data.dataset={ synthetic = { classes = 4, train = 128, test = 16, channels = 1, height = 32, width = 32, seed = 0 } }",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "data.augment=[{ pad_crop = { padding = 2 } }]",
    "model.exits.after=[2]",
    "train.epochs=4",
    "train.batch_size=8",
];

/// A folder with the configuration, and runs in it.
pub struct Bench {
    pub folder: tempfile::TempDir,
}

impl Bench {
    /// The small experiment with these further changes.
    pub fn new(changes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = tiny(&[SMALL, changes].concat()).unwrap().to_toml().unwrap();
        fs::write(folder.path().join("small.toml"), config).unwrap();
        Self { folder }
    }

    pub fn path(&self, run: &str, file: &str) -> PathBuf {
        self.folder.path().join(run).join(file)
    }

    /// `sd-train train` into `run`, which checkpoints after every step.
    pub fn command(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sd-train"));
        let common = "--device cpu --threads 1 --checkpoint-every 0s --timeout 20s --out";
        command.args(["train", "small.toml"]).args(common.split(' ')).arg(run).args(arguments);
        command.current_dir(self.folder.path()).env_remove("SD_DATA_DIR");
        for of_launcher in ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"] {
            command.env_remove(of_launcher);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Its exit code and standard error.
    pub fn finish(&self, run: &str, arguments: &[&str]) -> (Option<i32>, String) {
        end(self.command(run, arguments).output().unwrap())
    }

    pub fn weights(&self, run: &str) -> Vec<u8> {
        fs::read(self.path(run, "model.safetensors")).unwrap()
    }
}

/// Exit code and standard error.
pub fn end(output: Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A number that the environment may set.
pub fn number(variable: &str, unless: u64) -> u64 {
    std::env::var(variable).map_or(unless, |number| number.parse().unwrap())
}
