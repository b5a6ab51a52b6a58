//! Data sets without a test split, and test splits that turn out empty.

mod common;
mod program;

use common::tiny;
use image::RgbImage;
use program::{error, printed, sd_train};
use serde_json::Value;

const PETS: &str = "data.dataset={ image_folder = { folder = \"pets\", classes = 2, images = { side = 32, skip_broken = true } } }";

/// An experiment `pets.toml` on two classes of images, with a validation split and no test split.
fn pets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (split, count) in [("train", 8), ("valid", 3)] {
        for (class, shade) in [("cat", 40), ("dog", 160)] {
            let place = folder.path().join("pets").join(split).join(class);
            std::fs::create_dir_all(&place).unwrap();
            for number in 0..count {
                let image = RgbImage::from_fn(32, 32, |x, y| {
                    image::Rgb([shade + x as u8, (y * 3) as u8, number * 5])
                });
                image.save(place.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    let changes = [PETS, "train.epochs=1", "train.batch_size=8"];
    let text = tiny(&changes).unwrap().to_toml().unwrap();
    std::fs::write(folder.path().join("pets.toml"), text).unwrap();
    folder
}

const TRAIN: &str = "train pets.toml --out run --device cpu --threads 1 --data-dir .";

#[test]
fn a_run_without_a_test_split_ends_without_test_scores() {
    let folder = pets();
    let folder = folder.path();
    let description = printed(folder, &format!("{TRAIN} --dry-run"));
    assert!(description.contains("16 training, 6 validation, 0 test"), "{description}");
    let trained = sd_train(folder, TRAIN).assert().success();
    let log = String::from_utf8_lossy(&trained.get_output().stderr).into_owned();
    for split in ["train: 16 images, 8 of each class", "valid: 6 images, 3 of each class"] {
        assert!(log.contains(split), "{log}");
    }
    let text = std::fs::read_to_string(folder.join("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["status"], "finished");
    assert!(summary["exits"].as_array().unwrap().iter().all(|exit| exit["test_top1"].is_null()));
    assert_eq!(summary["best"]["epoch"], 1);
    assert_eq!(summary["best"]["exits"], Value::Array(vec![]));
    let report = std::fs::read_to_string(folder.join("run/report.md")).unwrap();
    assert!(report.contains("had no test split: validation chose epoch 1 of 1, "), "{report}");
    assert!(report.contains("Validation top-1 of the deepest exit, "), "{report}");
    assert!(!folder.join("run/evaluation.json").exists());

    let refused = error(folder, "eval run --device cpu --threads 1 --data-dir .");
    assert!(refused.contains("no test split; `--split valid`"), "{refused}");
    let valid = "eval run --split valid --json --device cpu --threads 1 --data-dir .";
    let record: Value = serde_json::from_str(&printed(folder, valid)).unwrap();
    assert_eq!(record["images"], 6);
    printed(folder, "export run --data-dir .");
    assert!(folder.join("run/deepest.onnx").is_file());
}

/// Noticed before the first step, not after the last.
#[test]
fn an_empty_test_split_is_refused_at_the_start() {
    let folder = pets();
    let folder = folder.path();
    let test = folder.join("pets/test/cat");
    std::fs::create_dir_all(&test).unwrap();
    std::fs::write(test.join("a.png"), "no image").unwrap();
    for line in [TRAIN.to_owned(), format!("{TRAIN} --dry-run")] {
        let refused = error(folder, &line);
        assert!(refused.contains("the split `test`: found no images"), "{refused}");
    }
    assert!(!folder.join("run/epochs.jsonl").exists());
}
