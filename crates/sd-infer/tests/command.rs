//! The command on images of several formats.

mod common;

use std::path::Path;

use assert_cmd::Command;
use common::metadata;
use image::GrayImage;

fn sd_infer(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("sd-infer").unwrap();
    command.current_dir(folder).args(arguments).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a network that classifies images by their mean, and two images.
fn folder() -> tempfile::TempDir {
    use sd_onnx::*;
    let folder = tempfile::tempdir().unwrap();
    let mut graph = Graph::new("mean");
    let images = graph.input("images", &[1, 4, 4]);
    let weight = graph.weight("weight", &[2, 1, 4, 4], &[[1.0; 16], [-1.0; 16]].concat());
    let logits = graph.node("Conv", &[&images, &weight], vec![ints("kernel_shape", &[4, 4])]);
    let rows = graph.node("Flatten", &[&logits], vec![int("axis", 1)]);
    graph.output(&rows, "deepest", &[2]);
    let deepest = Exit {
        name: "deepest".to_owned(),
        params: 32,
        macs: 32,
        temperature: 1.0,
        threshold: None,
    };
    let metadata = metadata(4, ["light", "dark"], vec![deepest]);
    std::fs::write(folder.path().join("mean.onnx"), encode(graph.finish(), &metadata)).unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    GrayImage::from_pixel(9, 5, image::Luma([250])).save(images.join("a.png")).unwrap();
    GrayImage::from_pixel(4, 4, image::Luma([3])).save(images.join("b.jpg")).unwrap();
    std::fs::write(images.join("notes.txt"), "no image").unwrap();
    folder
}

#[test]
fn files_and_folders_are_classified_in_order() {
    let folder = folder();
    let done =
        sd_infer(folder.path(), &["mean.onnx", "images", "--json", "--batch", "8"]).success();
    let lines = text(&done.get_output().stdout);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> =
        lines.iter().map(|line| (&line["image"], &line["labels"][0]["name"])).collect();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].0, found[0].1), (&"images/a.png".into(), &"light".into()));
    assert_eq!((found[1].0, found[1].1), (&"images/b.jpg".into(), &"dark".into()));
    assert_eq!(lines[0]["share"], 1.0);
}

#[test]
fn standard_input_is_an_image() {
    let folder = folder();
    let bytes = std::fs::read(folder.path().join("images/b.jpg")).unwrap();
    let mut command = Command::cargo_bin("sd-infer").unwrap();
    let done = command.current_dir(folder.path()).args(["mean.onnx", "-"]).write_stdin(bytes);
    let line = text(&done.assert().success().get_output().stdout);
    assert_eq!(line, "-: dark 100.0 %, light 0.0 % (deepest, 100 % of the MACs)\n");
}

#[test]
fn unreadable_images_are_reported_and_the_others_classified() {
    let folder = folder();
    let arguments = ["mean.onnx", "images/notes.txt", "images/a.png", "gone.png"];
    let done = sd_infer(folder.path(), &arguments).code(1);
    let (out, error) = (text(&done.get_output().stdout), text(&done.get_output().stderr));
    assert!(out.starts_with("images/a.png: light"), "{out}");
    assert!(error.contains("images/notes.txt: ") && error.contains("gone.png: "), "{error}");
}

#[test]
fn a_batch_that_fails_is_reported_and_the_others_tried() {
    let folder = folder();
    let error = |batch| {
        let arguments = ["mean.onnx", "images", "--time-limit", "0", "--batch", batch];
        let done = sd_infer(folder.path(), &arguments).code(1);
        assert!(done.get_output().stdout.is_empty());
        text(&done.get_output().stderr)
    };
    let each = error("1");
    let lines: Vec<&str> = each.lines().collect();
    assert_eq!(lines.len(), 2, "{each}");
    for (line, name) in lines.iter().zip(["images/a.png", "images/b.jpg"]) {
        assert!(line.starts_with(&format!("error: {name}: native: the deadline passed")), "{line}");
    }
    let both = error("2");
    assert!(both.starts_with("error: images/a.png, images/b.jpg: native: the deadline"), "{both}");
}

#[test]
fn a_folder_without_images_is_an_error() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let done = sd_infer(folder.path(), &["mean.onnx", "images/a.png", "empty"]).code(1);
    let (out, error) = (text(&done.get_output().stdout), text(&done.get_output().stderr));
    assert_eq!((&*out, error.starts_with("error: no image in empty, ")), ("", true), "{error}");
}

#[test]
fn a_file_that_is_no_network_is_an_error() {
    let folder = folder();
    let done = sd_infer(folder.path(), &["images/a.png", "images/a.png"]).code(1);
    let error = text(&done.get_output().stderr);
    assert!(error.starts_with("error: images/a.png: not an ONNX file"), "{error}");
}

#[test]
fn bench_uses_the_given_batch_size_and_the_default_engine() {
    let folder = folder();
    let arguments = ["mean.onnx", "--bench=0", "--batch", "2", "--json"];
    let done = sd_infer(folder.path(), &arguments).success();
    let record: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    assert_eq!((&record["batch"], &record["engine"]), (&2.into(), &"native".into()));
    assert_eq!(record["raw_seconds"].as_array().unwrap().len(), 3);
}

#[test]
fn early_exit_rules_are_refused_for_a_network_with_one_exit() {
    let folder = folder();
    for option in [&["--confidence", "0.9"][..], &["--entropy", "0.1"], &["--never"]] {
        for model in [&["mean.onnx", "images"][..], &["mean.onnx", "--bench=0"]] {
            let done = sd_infer(folder.path(), &[model, option].concat()).code(1);
            let (out, error) = (text(&done.get_output().stdout), text(&done.get_output().stderr));
            let expected =
                format!("error: {}: mean.onnx is a network with one exit, expected", option[0]);
            assert!(out.is_empty() && error.starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn a_folder_of_several_networks_is_described_once() {
    let folder = folder();
    for name in ["exit1.onnx", "exit2.onnx"] {
        std::fs::copy(folder.path().join("mean.onnx"), folder.path().join(name)).unwrap();
    }
    let done = sd_infer(folder.path(), &[".", "images/a.png"]).code(1);
    assert_eq!(
        text(&done.get_output().stderr),
        "error: .: found 3 .onnx files, 3 of them a whole network, expected one file, or a folder \
         with the segments of one network\n"
    );
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_ends_the_command_silently() {
    use std::process::Stdio;
    let folder = folder();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sd-infer"));
    command.current_dir(folder.path()).args(["mean.onnx", "images"]).stdout(writer);
    let done = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), String::new()));
}
