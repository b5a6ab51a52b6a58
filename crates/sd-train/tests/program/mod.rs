//! The program `sd-train`, started in a folder with a command line.

use std::path::Path;

use assert_cmd::Command;

/// The program, not yet started. Words are separated by spaces.
pub fn sd_train(folder: &Path, line: &str) -> Command {
    let mut command = Command::cargo_bin("sd-train").unwrap();
    command.current_dir(folder).env_remove("SD_DATA_DIR").args(line.split_whitespace());
    command
}

/// What it prints.
#[allow(dead_code, reason = "not every file of tests needs it")]
pub fn printed(folder: &Path, line: &str) -> String {
    let done = sd_train(folder, line).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

/// What it reports as the error that it ends with.
#[allow(dead_code, reason = "not every file of tests needs it")]
pub fn error(folder: &Path, line: &str) -> String {
    let failed = sd_train(folder, line).assert().code(1);
    String::from_utf8(failed.get_output().stderr.clone()).unwrap()
}
