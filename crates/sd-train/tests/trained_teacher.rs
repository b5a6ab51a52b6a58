//! Runs whose teacher is the trained network of another run.

mod common;
mod program;

use std::collections::HashMap;
use std::path::Path;

use common::tiny;
use program::{error, sd_train};
use sd_models::TensorFile;

const OBJECTIVE: &str = "objective.knowledge_distillation";
const TRAIN: &str = "train tiny.toml --device cpu --threads 1";

/// A folder with `tiny.toml`, and in `teacher` a finished run of it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny::<&str>(&[]).unwrap().to_toml().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), config).unwrap();
    let teacher = format!("{TRAIN} -s train.epochs=1 --out teacher");
    sd_train(folder.path(), &teacher).assert().success();
    folder
}

const TEACHER: &str = "{run=\"teacher\"}";

/// The command line that trains a student of `teacher`, in TOML, in the folder `run`.
fn student(teacher: &str, alpha: f64, run: &str) -> String {
    // Without spaces, because the line is split at them.
    let objective = format!(
        "objective={{knowledge_distillation={{teacher={teacher},alpha={alpha},temperature=4.0,label_smoothing=0.1}}}}"
    );
    format!("{TRAIN} -s seed=4 -s train.epochs=2 -s {objective} --out {run}")
}

fn weights(folder: &Path, run: &str) -> Vec<u8> {
    std::fs::read(folder.join(run).join("model.safetensors")).unwrap()
}

#[test]
fn a_student_learns_from_its_teacher_and_resumes_to_the_same_bits() {
    let folder = folder();
    let folder = folder.path();
    let train = |line: String| sd_train(folder, &line).assert();
    train(student(TEACHER, 0.5, "whole")).success();
    train(student(TEACHER, 0.5, "parts") + " --max-steps 8").code(130);
    train(student(TEACHER, 0.5, "parts") + " --resume").success();
    assert!(weights(folder, "whole") == weights(folder, "parts"));
    let run = sd_report::Run::open(folder.join("whole")).unwrap();
    assert!(run.epochs.iter().all(|epoch| epoch.terms.contains_key("soft")));
    assert_eq!(run.summary.objective, "knowledge distillation");

    let teacher = run.summary.objective_summary.unwrap().trained_teacher;
    assert_eq!(teacher.as_deref(), Some("teacher"));

    // Another teacher changes the student exactly if α is above 0, and no run between two steps.
    train(student(TEACHER, 0.5, "begun") + " --max-steps 1").code(130);
    let tensors = |run: &str| TensorFile::read(&folder.join(run).join("model.safetensors"));
    for (alpha, changes) in [(0.5, true), (0.0, false)] {
        let teachers = [("{weights=\"teacher/model.safetensors\"}", 1), ("{run=\"whole\"}", 2)];
        let students = teachers.map(|(teacher, number)| {
            let run = format!("student{number}-{alpha}");
            train(student(teacher, alpha, &run)).success();
            tensors(&run).unwrap().tensors
        });
        assert_eq!(students[0] != students[1], changes, "{alpha}");
    }
    let weights = "model.safetensors";
    std::fs::copy(folder.join("whole").join(weights), folder.join("teacher").join(weights))
        .unwrap();
    let text = error(folder, &(student(TEACHER, 0.5, "begun") + " --resume"));
    assert!(text.contains("checkpoint of another teacher: checksum "), "{text}");
}

#[test]
fn an_exit_without_weight_does_not_learn_from_the_teacher() {
    let folder = folder();
    let tensors = |weights: &str| {
        let line = student(TEACHER, 0.5, weights) + " -s train.epochs=1 -s";
        let weights_of = format!("{OBJECTIVE}.exit_weights={weights}");
        sd_train(folder.path(), &format!("{line} {weights_of}")).assert().success();
        TensorFile::read(&folder.path().join(weights).join("model.safetensors")).unwrap().tensors
    };
    let (last, last_two) = (tensors("[0,0,1]"), tensors("[0,1,1]"));
    let exit = |number: u8| format!("exit{number}.linear.weight");
    assert_eq!(last[&exit(1)], last_two[&exit(1)]);
    assert_ne!(last[&exit(2)], last_two[&exit(2)]);
}

#[test]
fn an_imported_teacher_is_used_with_a_warning() {
    let folder = folder();
    let folder = folder.path();
    // What an import writes: weights that record their network alone.
    let path = folder.join("teacher/model.safetensors");
    let TensorFile { tensors, mut metadata } = TensorFile::read(&path).unwrap();
    metadata.remove("data");
    std::fs::write(&path, TensorFile { tensors, metadata }.to_bytes().unwrap()).unwrap();
    let line = student("{weights=\"teacher/model.safetensors\"}", 0.5, "student");
    let done = sd_train(folder, &line).assert().success();
    let text = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(text.contains("does not record its classes"), "{text}");
}

#[test]
fn a_teacher_that_does_not_fit_is_named_with_what_was_expected() {
    let folder = folder();
    let folder = folder.path();
    let fails = |teacher: &str, more: &str, expected: &[&str]| {
        let text = error(folder, &(student(teacher, 0.5, "student") + more));
        for part in expected {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
        assert!(!folder.join("student/config.toml").exists(), "{teacher}");
    };
    let weights = |file: &str| format!("{{weights=\"{file}\"}}");
    fails("{run=\"missing\"}", "", &["objective: teacher", "missing/config.toml"]);
    fails(&weights("missing"), "", &["objective: teacher", "missing"]);
    fails(&weights("tiny.toml"), "", &["objective: teacher: tiny.toml: "]);
    fails("\"teacher\"", "", &["unknown variant `teacher`, expected `run` or `weights`"]);
    fails(TEACHER, &format!(" -s {OBJECTIVE}.alpha=2.0"), &["alpha is 2, expected 0 to 1"]);
    fails(
        TEACHER,
        " -s data.dataset.synthetic.classes=6",
        &[
            "teacher/model.safetensors has 4 classes and images of shape [1, 32, 32]",
            "expected 6 classes and images of shape [1, 32, 32]",
        ],
    );

    let path = folder.join("teacher/model.safetensors");
    let TensorFile { tensors, metadata } = TensorFile::read(&path).unwrap();
    let mut data: serde_json::Value = serde_json::from_str(&metadata["data"]).unwrap();
    data["classes"][2] = "dog".into();
    let metadata: HashMap<_, _> =
        metadata.into_iter().chain([("data".to_owned(), data.to_string())]).collect();
    std::fs::write(&path, TensorFile { tensors, metadata }.to_bytes().unwrap()).unwrap();
    fails(TEACHER, "", &["class 2 of teacher/model.safetensors is `dog`, expected `"]);
    std::fs::remove_file(&path).unwrap();
    fails(TEACHER, "", &["teacher/model.safetensors: no such file; the last weights are written"]);
}

#[test]
fn another_normalisation_and_other_images_are_a_warning() {
    let folder = folder();
    let warnings = |more: &str| {
        let line = student(TEACHER, 0.5, "student") + " --max-steps 1" + more;
        let done = sd_train(folder.path(), &line).assert().code(130);
        std::fs::remove_dir_all(folder.path().join("student")).unwrap();
        let text = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        text.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings(""), Vec::<String>::new());
    let normalize = " -s data.normalize={given={mean=[0.5],deviation=[0.25]}}";
    for (change, expected) in [
        (normalize, "teacher/model.safetensors was trained with another normalisation"),
        (
            " -s data.dataset.synthetic.seed=1",
            "teacher/model.safetensors was trained on other images (96 of checksum",
        ),
    ] {
        let found = warnings(change);
        assert!(found.iter().any(|line| line.contains(expected)), "{change}: {found:?}");
    }
}
