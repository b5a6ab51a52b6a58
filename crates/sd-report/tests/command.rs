//! The command line, as a process.
#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;

fn sd_report(arguments: &[&str], folder: &Path) -> assert_cmd::assert::Assert {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sd-report"));
    command.args(arguments).current_dir(folder).assert()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn write_run(folder: &Path) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("config.toml"), "[train]\n").unwrap();
    let summary = r#"{
        "schema_version": 1, "status": "finished", "name": "small", "model": "m", "dataset": "d",
        "objective": "o", "seed": 1, "epochs": 1, "steps": 1,
        "exits": [{"name": "deepest", "test_top1": 0.5, "test_top5": 0.9, "test_loss": 1.0,
                   "params": 10, "macs": 100}],
        "ensemble": {"test_top1": 0.5, "test_top5": 0.9, "test_loss": 1.0},
        "deployed": {"params": 10, "macs": 100}, "framework": {"params": 10, "macs": 100},
        "dense_original": null, "best": null, "images_per_second": 1.0, "seconds": 1.0
    }"#;
    fs::write(folder.join("summary.json"), summary).unwrap();
}

#[test]
fn one_run_is_reported_in_its_folder_and_several_in_report() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("a"));
    write_run(&folder.path().join("b"));
    let one = sd_report(&["report", "a"], folder.path()).success();
    let page = Path::new("a").join("report.html");
    let lines: Vec<_> = text(&one.get_output().stdout).lines().collect();
    let finding = "The network reaches 50.0 % test accuracy on d with 10 parameters and 100 MACs.";
    assert_eq!(lines[..3], [finding, "", page.to_str().unwrap()]);
    for (arguments, out) in
        [(vec!["report", "a", "b"], "report"), (vec!["report", "a", "b", "--out", "c"], "c")]
    {
        let several = sd_report(&arguments, folder.path()).success();
        let mut lines = text(&several.get_output().stdout).lines();
        assert_eq!(lines.next(), Some("No exit can be chosen without a validation split."));
        for line in lines.skip(1) {
            assert!(line.starts_with(out) && folder.path().join(line).is_file(), "{line}");
        }
        let page = folder.path().join(out).join("report.html");
        assert!(fs::read_to_string(page).unwrap().contains("2 runs"));
    }
}

#[test]
fn a_section_is_printed_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("a"));
    write_run(&folder.path().join("b"));
    let printed =
        sd_report(&["report", "a", "b", "--section", "comparison"], folder.path()).success();
    let markdown = text(&printed.get_output().stdout);
    assert!(markdown.starts_with("### d, 1 epoch\n\n") && markdown.contains("| one seed |"));
    assert!(!folder.path().join("report").exists());
    let failed = sd_report(&["report", "a", "--section", "comparison"], folder.path()).code(1);
    assert!(
        text(&failed.get_output().stderr)
            .contains("the section comparison is empty for these runs")
    );
    let unknown = sd_report(&["report", "a", "--section", "x"], folder.path()).code(2);
    assert!(text(&unknown.get_output().stderr).contains("expected one of findings, overview, "));
}

#[test]
fn folders_without_a_finished_run_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("a"));
    fs::create_dir(folder.path().join("sweep")).unwrap();
    fs::write(folder.path().join("README.md"), "").unwrap();
    fs::create_dir(folder.path().join("training")).unwrap();
    fs::write(folder.path().join("training/config.toml"), "").unwrap();
    let done =
        sd_report(&["report", "a", "README.md", "sweep", "training"], folder.path()).success();
    let stderr = text(&done.get_output().stderr);
    assert!(stderr.contains("skipped: README.md is a file"), "{stderr}");
    assert!(stderr.contains("skipped: sweep is not a run"), "{stderr}");
    assert!(stderr.contains("skipped: training: the run has not finished"), "{stderr}");
    let none = sd_report(&["report", "sweep", "training"], folder.path()).code(1);
    assert!(text(&none.get_output().stderr).contains("none of these folders"));
    // A wrong path is an error.
    sd_report(&["report", "a", "gone"], folder.path()).code(1);
}

#[test]
fn a_run_that_is_training_or_was_killed_is_reported_with_its_epochs_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("a");
    write_run(&run);
    let summary = fs::read_to_string(run.join("summary.json")).unwrap();
    let progress =
        summary.replace("finished", "running").replace(r#""epochs": 1"#, r#""epochs": 7"#);
    fs::write(run.join("progress.json"), progress).unwrap();
    let notice = || {
        sd_report(&["report", "a"], folder.path()).success();
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        let start = page.find("This run").map_or("", |start| &page[start..]);
        start.split(':').next().unwrap_or_default().to_owned()
    };
    assert_eq!(notice(), "", "a finished run is not reported by its progress");
    // A resumed run is ahead of the summary of its interruption.
    fs::write(run.join("summary.json"), summary.replace("finished", "interrupted")).unwrap();
    let lock = fs::File::create(run.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(notice(), "This run is training");
    fs::remove_file(run.join("summary.json")).unwrap();
    assert_eq!(notice(), "This run is training");
    drop(lock);
    assert_eq!(notice(), "This run was interrupted after 7 epochs");
    write_run(&folder.path().join("b"));
    fs::write(run.join("summary.json"), summary.replace("finished", "interrupted")).unwrap();
    sd_report(&["report", "a", "b"], folder.path()).success();
    let page = fs::read_to_string(folder.path().join("report/report.md")).unwrap();
    assert!(page.contains("was interrupted after 7 epochs"), "{page}");
    let chosen = sd_report(&["choose", "a", "b"], folder.path()).code(1);
    let stderr = text(&chosen.get_output().stderr);
    assert!(stderr.starts_with("skipped: a: the run has not finished\n"), "{stderr}");
    fs::remove_file(run.join("summary.json")).unwrap();
    fs::remove_file(run.join("progress.json")).unwrap();
    let nothing = sd_report(&["report", "a"], folder.path()).code(1);
    assert!(text(&nothing.get_output().stderr).contains("it has no progress.json; wait for"));
}

#[test]
fn a_folder_that_is_not_a_run_fails_and_bad_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let failed = sd_report(&["report", "."], folder.path()).code(1);
    let output = failed.get_output();
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("is not a run: it has no config.toml"));
    sd_report(&["report"], folder.path()).code(2);
    sd_report(&["report", ".", "--colour"], folder.path()).code(2);
}

#[test]
fn choose_prints_one_line_and_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("a"));
    let refused = sd_report(&["choose", "a"], folder.path()).code(1);
    assert!(text(&refused.get_output().stderr).contains("no run has a validation split"));
    let epoch = r#"{"epoch": 1, "step": 1, "learning_rate": 0.1, "seconds": 1.0,
        "images_per_second": 1.0, "loss": 1.0, "terms": {}, "train": [], "valid": {
        "exits": [{"name": "deepest", "top1": 0.6, "top5": 0.9, "loss": 1.0}],
        "ensemble": {"name": "ensemble", "top1": 0.6, "top5": 0.9, "loss": 1.0}}}"#;
    fs::write(folder.path().join("a/epochs.jsonl"), epoch.replace('\n', "") + "\n").unwrap();
    let chosen = sd_report(&["choose", "a", "--max-macs", "0.1k"], folder.path()).success();
    assert_eq!(
        text(&chosen.get_output().stdout),
        "a deepest f32: 60.0 % on validation, 100 MACs\n\
         next: cargo xtask export a --exit deepest\n"
    );
    let none = sd_report(&["choose", "a", "--max-macs", "99"], folder.path()).code(1);
    let error = text(&none.get_output().stderr);
    assert!(
        error.contains("--max-macs 99 excludes 1 of 1; the least is 100, a deepest"),
        "{error}"
    );
    let bad = sd_report(&["choose", "a", "--max-macs", "20X"], folder.path()).code(2);
    assert!(text(&bad.get_output().stderr).contains("with k, M or G after it"));
}
