//! A run knows the data of its training: commands on a run whose data set has changed or is gone.

mod common;
mod earlier_version;
mod program;

use std::path::Path;

use common::tiny;
use earlier_version::forget_data;
use image::RgbImage;
use program::{error, printed, sd_train};
use sd_models::TensorFile;
use serde_json::Value;

const CHANGES: &[&str] = &[
    "data.dataset={ image_folder = { folder = \"pets\", classes = 2, images = { side = 32 } } }",
    "data.normalize=\"measured\"",
    "data.validation={ fraction = 0.25, seed = 0 }",
    "train.epochs=3",
    "train.batch_size=8",
];

/// Writes the images of a class: noise around a shade.
fn write_images(folder: &Path, split: &str, class: &str, shade: u8, count: u32) {
    let place = folder.join("data/pets").join(split).join(class);
    std::fs::create_dir_all(&place).unwrap();
    for number in 0..count {
        let noise = |x: u32, y: u32| (x * 7 + y * 13 + number * 31) as u8 % 32;
        let image = RgbImage::from_fn(32, 32, |x, y| image::Rgb([shade + noise(x, y); 3]));
        image.save(place.join(format!("{number}.png"))).unwrap();
    }
}

/// A folder with a run on bright dogs and dark cats.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (split, count) in [("train", 24), ("test", 6)] {
        write_images(folder.path(), split, "cat", 20, count);
        write_images(folder.path(), split, "dog", 180, count);
    }
    let text = tiny(CHANGES).unwrap().to_toml().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), text).unwrap();
    printed(folder.path(), "train tiny.toml --out run --device cpu --threads 1");
    folder
}

fn evaluation(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("run/evaluation.json")).unwrap()
}

#[test]
fn a_run_needs_no_data_set_once_it_is_trained() {
    let folder = trained();
    let folder = folder.path();
    write_images(folder, "calibration", "any", 90, 9);
    let calibration = folder.join("data/pets/calibration/any");
    std::fs::rename(calibration, folder.join("calibration")).unwrap();
    let image = folder.join("dog.png");
    std::fs::rename(folder.join("data/pets/test/dog/0.png"), image).unwrap();
    let before = printed(folder, "predict run dog.png --json --device cpu");
    printed(folder, "export run --staged");
    let staged = std::fs::read(folder.join("run/staged/1-exit1.onnx")).unwrap();

    std::fs::remove_dir_all(folder.join("data")).unwrap();
    assert_eq!(printed(folder, "predict run dog.png --json --device cpu"), before);
    for export in ["", "--exit exit1", "--all", "--staged"] {
        printed(folder, &format!("export run {export}"));
    }
    assert_eq!(std::fs::read(folder.join("run/staged/1-exit1.onnx")).unwrap(), staged);
    std::fs::remove_file(folder.join("run/calibration.json")).unwrap();
    printed(folder, "export run --int8 convinteger --calibrate calibration");

    for (line, expected) in [
        ("export run --int8 qdq", "`--calibrate FOLDER` takes others"),
        ("export run --int8 qdq --weights checkpoint", "`--calibrate FOLDER` takes others"),
        ("export run --staged --tolerance 1", "thresholds are chosen on the validation split"),
        ("export run --tolerance 1", "--staged"),
        ("export run --budget 50", "--staged"),
    ] {
        let output = sd_train(folder, line).assert().failure();
        let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(stderr.contains(expected), "{line}: {stderr}");
    }
}

/// The files of an export, one after the other.
fn exported(folder: &Path, options: &str) -> Vec<u8> {
    let files = printed(folder, &format!("export run {options}"));
    files.lines().flat_map(|file| std::fs::read(folder.join(file)).unwrap()).collect()
}

#[test]
fn training_records_the_ranges_of_8_bit_exports() {
    const EXPORTS: [&str; 6] = [
        "--int8 qdq",
        "--int8 qdq --staged",
        "--int8 convinteger --all",
        "--int8 convinteger --exit exit1",
        "--int8 convinteger --calibration minmax",
        "--int8 convinteger --weights best",
    ];
    let folder = trained();
    let folder = folder.path();
    let measured =
        EXPORTS.map(|export| exported(folder, &format!("{export} --calibration-images 512")));
    // An export measures what an older run does not record, and records it.
    let ranges = folder.join("run/calibration.json");
    let recorded = std::fs::read(&ranges).unwrap();
    std::fs::remove_file(&ranges).unwrap();
    assert!(exported(folder, EXPORTS[0]) == measured[0]);
    assert!(std::fs::read(&ranges).unwrap() == recorded);

    std::fs::rename(folder.join("data"), folder.join("elsewhere")).unwrap();
    for (export, measured) in EXPORTS.iter().zip(&measured) {
        assert!(exported(folder, export) == *measured, "{export}");
    }

    // The test images have no part in them.
    std::fs::rename(folder.join("elsewhere"), folder.join("data")).unwrap();
    write_images(folder, "test", "cat", 0, 1);
    std::fs::remove_file(&ranges).unwrap();
    assert!(exported(folder, EXPORTS[0]) == measured[0]);

    // A darker image of the training split.
    write_images(folder, "train", "cat", 0, 1);
    std::fs::remove_file(&ranges).unwrap();
    for export in ["export run --int8 qdq --calibration-images 512", "export run --int8 qdq"] {
        let stderr = error(folder, export);
        assert!(
            stderr.contains("the training images of the data set are not those of the training"),
            "{stderr}"
        );
        assert!(stderr.contains("`--calibrate FOLDER` takes others"), "{stderr}");
    }
}

#[test]
fn ranges_of_other_weights_are_not_used() {
    let folder = trained();
    let folder = folder.path();
    let before = std::fs::read(folder.join("run/calibration.json")).unwrap();
    let path = folder.join("run/model.safetensors");
    let file = TensorFile::read(&path).unwrap();
    let _ = file.tensors.values().next().unwrap().view([-1]).get(0).fill_(0.25);
    std::fs::write(&path, file.to_bytes().unwrap()).unwrap();
    let output = sd_train(folder, "export run --int8 qdq").assert();
    let stderr = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(stderr.contains("calibration.json: the ranges are those of other weights"), "{stderr}");
    assert!(std::fs::read(folder.join("run/calibration.json")).unwrap() == before);
}

#[test]
fn other_classes_are_refused() {
    for forget in [false, true] {
        let folder = trained();
        let folder = folder.path();
        if forget {
            forget_data(folder);
        }
        let (before, image) = (evaluation(folder), "data/pets/test/dog/0.png");
        let dog = printed(folder, &format!("predict run {image} --json --device cpu"));
        for split in ["train", "test"] {
            let place = folder.join("data/pets").join(split);
            std::fs::rename(place.join("cat"), place.join("zcat")).unwrap();
        }
        let predict = sd_train(folder, &format!("predict run {image} --device cpu")).assert();
        let stderr = String::from_utf8_lossy(&predict.get_output().stderr).into_owned();
        assert_eq!(stderr.contains("the weights do not record the data"), forget, "{stderr}");
        let stderr = error(folder, "eval run --device cpu");
        let expected = "the classes of the data set are not those of the training: found `zcat`, expected `cat`\n";
        assert!(stderr.contains(expected), "{stderr}");
        let stderr = error(folder, "eval run --other-images --device cpu");
        assert!(stderr.contains(expected), "{stderr}");
        assert_eq!(evaluation(folder), before);
        assert_eq!(printed(folder, &format!("predict run {image} --json --device cpu")), dog);
    }
}

#[test]
fn evaluation_on_other_images_has_to_be_asked_for_and_is_marked() {
    let folder = trained();
    let folder = folder.path();
    printed(folder, "export run");
    let before = evaluation(folder);
    // Training images change the measured normalisation, and which of them are held back.
    write_images(folder, "train", "cat", 0, 40);
    for line in ["eval run --device cpu", "eval run --onnx run/deepest.onnx"] {
        let stderr = error(folder, line);
        for expected in ["validation images: 12 of checksum", "`eval --other-images` evaluates"] {
            assert!(stderr.contains(expected), "{line}: {stderr}");
        }
    }
    for (line, expected) in [
        ("eval run --split valid --device cpu", "the validation images of the data"),
        ("eval run --split valid --other-images --device cpu", "the validation images of the data"),
        ("eval run --split valid --other-images --onnx run/deepest.onnx", "the validation images"),
        ("export run --staged --tolerance 1", "without --budget and --tolerance"),
    ] {
        let stderr = error(folder, line);
        assert!(stderr.contains("are not those of the training"), "{line}: {stderr}");
        assert!(stderr.contains(expected), "{line}: {stderr}");
        assert!(!stderr.contains("--other-images"), "{line}: {stderr}");
    }
    let record = |line: &str| -> Value { serde_json::from_str(&printed(folder, line)).unwrap() };
    let mut then: Value = serde_json::from_str(&before).unwrap();
    // Fitted, like early exit, on the validation images of the training.
    for exit in then["exits"].as_array_mut().unwrap() {
        exit.as_object_mut().unwrap().remove("scaling").unwrap();
    }
    let now = record("eval run --json --other-images --device cpu --threads 1");
    assert_eq!((&now["other_images"], &now["early_exit"]), (&true.into(), &Value::Null));
    for key in ["mean", "deviation", "exits", "classes"] {
        assert_eq!(now[key], then[key], "{key}: the test images are the same");
    }
    let exported = record("eval run --json --other-images --onnx run/deepest.onnx");
    assert_eq!(exported["other_images"], true);
    assert_eq!(evaluation(folder), before);

    let mean = sd_onnx::read_metadata(&std::fs::read(folder.join("run/deepest.onnx")).unwrap());
    let mean: Vec<f64> = mean.unwrap().input.mean.into_iter().map(f64::from).collect();
    printed(folder, "export run --out again.onnx");
    let again = std::fs::read(folder.join("again.onnx")).unwrap();
    assert_eq!(again, std::fs::read(folder.join("run/deepest.onnx")).unwrap());
    assert!((mean[0] - then["mean"][0].as_f64().unwrap()).abs() < 1e-6);
}
