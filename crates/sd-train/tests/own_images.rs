//! `train --images`: a folder of images without a configuration.

use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use image::RgbImage;

fn train(folder: &Path, line: &str) -> Assert {
    let mut command = Command::cargo_bin("sd-train").unwrap();
    command.current_dir(folder).env_remove("SD_DATA_DIR");
    command.args(["train", "--device", "cpu", "--threads", "1"]).args(line.split_whitespace());
    command.assert()
}

fn stderr(output: &Assert) -> String {
    String::from_utf8_lossy(&output.get_output().stderr).into_owned()
}

/// Two classes of `count` images, wider than high, some grey, some BMP or GIF.
fn pets(folder: &Path, count: u32) {
    for (class, shade) in [("cat", 40), ("dog", 160)] {
        let place = folder.join("pets").join(class);
        std::fs::create_dir_all(&place).unwrap();
        for number in 0..count {
            let image = RgbImage::from_fn(50, 40, |x, y| {
                image::Rgb([shade + x as u8, (y * 3 + number) as u8, (number * 5) as u8])
            });
            let path = |extension| place.join(format!("{number}.{extension}"));
            match number % 4 {
                0 => image::DynamicImage::from(image).to_luma8().save(path("png")).unwrap(),
                1 => image.save(path("bmp")).unwrap(),
                2 => image.save(path("gif")).unwrap(),
                _ => image.save(path("jpg")).unwrap(),
            }
        }
    }
}

#[test]
fn the_written_configuration_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pets(folder, 15);
    let own =
        "--images pets -s train.epochs=2 -s ~train.sgd -s train.adamw={weight_decay=0.05} --seed 5";
    let output = train(folder, own).success();
    assert!(stderr(&output).contains("runs/pets-seed5/config.toml"), "{}", stderr(&output));
    train(folder, "runs/pets-seed5/config.toml --out again").success();
    for file in ["config.toml", "model.safetensors", "evaluation.json"] {
        let read = |run: &str| std::fs::read(folder.join(run).join(file)).unwrap();
        assert!(read("runs/pets-seed5") == read("again"), "{file}");
    }
    // More images would be another configuration: a resumed run has its own.
    train(folder, &format!("{own} --out parts --max-steps 1")).code(130);
    train(folder, &format!("{own} --out parts --resume")).success();
    let weights = |run: &str| std::fs::read(folder.join(run).join("model.safetensors")).unwrap();
    assert!(weights("parts") == weights("again"));

    let output = train(folder, "--images pets --dry-run").success();
    let printed = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(printed.contains("[data.dataset.image_folder]\nfolder = "), "{printed}");
    assert!(printed.contains("20 training, 4 validation, 6 test"), "{printed}");
}

/// A folder beyond `memory_gb` trains as one in memory, also after a resume.
#[test]
fn streamed_images_train_to_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pets(folder, 15);
    let images = "data.dataset.image_folder.images";
    let own =
        "--images pets -s train.epochs=2 -s data.augment=[{random_resized_crop={}},{flip={}}]";
    let streamed = format!("{own} -s {images}.memory_gb=0");
    train(folder, &format!("{own} --out memory")).success();
    let output = train(folder, &format!("{streamed} --out stream")).success();
    assert!(stderr(&output).contains("as it is needed"), "{}", stderr(&output));
    train(folder, &format!("{streamed} --out parts --max-steps 1")).code(130);
    train(folder, &format!("{streamed} --out parts --resume")).success();
    let read = |run: &str, file: &str| std::fs::read(folder.join(run).join(file)).unwrap();
    assert!(read("memory", "evaluation.json") == read("stream", "evaluation.json"));
    for file in ["evaluation.json", "model.safetensors"] {
        assert!(read("parts", file) == read("stream", file), "{file}");
    }
    // A file that breaks after the start ends the run.
    std::fs::write(folder.join("pets/cat/3.jpg"), "no image").unwrap();
    let given = "-s data.normalize={given={mean=[0.5,0.5,0.5],deviation=[0.2,0.2,0.2]}}";
    let output = train(folder, &format!("{streamed} {given} --out broken")).code(1);
    assert!(stderr(&output).contains("pets/cat/3.jpg`"), "{}", stderr(&output));
}

#[test]
fn folders_that_cannot_be_trained_on_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |expected: &str| {
        let text = stderr(&train(folder, "--images pets").code(1));
        assert!(text.contains("--images pets: ") && text.contains(expected), "{text}");
        assert!(!folder.join("runs").exists());
    };
    refused("No such file");
    std::fs::create_dir(folder.join("pets")).unwrap();
    refused("found no class folders, expected two or more folders of images, one per class");
    std::fs::create_dir(folder.join("pets/cat")).unwrap();
    refused("found one class, `cat`, expected two or more");
    pets(folder, 3);
    refused("pets/cat`: found 3 images, expected at least 5");

    pets(folder, 15);
    std::fs::write(folder.join("pets/dog/16.jpg"), "no image").unwrap();
    let text = stderr(&train(folder, "--images pets").code(1));
    let expected =
        "pets/dog/16.jpg`: found an unknown format, expected JPEG, PNG, WebP, BMP or GIF";
    assert!(text.contains(expected) && text.contains("skip_broken"), "{text}");

    let text = stderr(&train(folder, "config.toml --images pets").code(2));
    assert!(text.contains("'[CONFIG]' cannot be used with '--images <FOLDER>'"), "{text}");
}
