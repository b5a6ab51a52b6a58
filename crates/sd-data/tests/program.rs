//! The program `sd-data`: preview, check and samples of a configuration.
#![cfg(feature = "cli")]

use assert_cmd::Command;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn sd_data(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sd-data"));
    command.current_dir(folder).env_remove("SD_DATA_DIR").args(arguments);
    command
}

/// A folder with a configuration of image files in two classes. One file is in both `train` and
/// `test`, one is broken.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let images = folder.path().join("data/pets");
    for (name, red) in [("train/cat/a", 1), ("train/dog/a", 9), ("test/dog/a", 9)] {
        let path = images.join(format!("{name}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([red, x as u8, y as u8]));
        image.save(path).unwrap();
    }
    fs::write(images.join("train/dog/b.jpg"), "no image").unwrap();
    let text = "
        seed = 3
        [data]
        dataset = { image_folder = { folder = 'pets', classes = 2, images = { side = 8, skip_broken = true } } }
        augment = [{ random_resized_crop = {} }, { flip = {} }]
        [model]
        key = 'not read by sd-data'
    ";
    fs::write(folder.path().join("pets.toml"), text).unwrap();
    folder
}

#[test]
fn check_reports_counts_duplicates_and_skipped_files() {
    let folder = folder();
    let output = sd_data(folder.path(), &["check", "pets.toml"]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for fact in [
        "pets: 3×8×8, 2 classes",
        "1 of test are also in train, 0 of them under another label",
        "test/dog/a.png (dog) = train/dog/a.png (dog)",
        "skipped files: 1",
        "b.jpg`: found an unknown format, expected JPEG, PNG, WebP, BMP or GIF",
        "trains on 2 images, validates on 0",
    ] {
        assert!(text.contains(fact), "`{fact}` is not in\n{text}");
    }
    let log = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(log.contains("4 images of 8×8 pixels need 0.0 MB of memory"), "{log}");
    assert!(log.contains("skipped") && log.contains("b.jpg"), "{log}");

    let output = sd_data(folder.path(), &["check", "pets.toml", "--json"]).assert().success();
    let json: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(json["data_set"]["splits"][0]["of_class"], serde_json::json!([1, 1]));
    assert_eq!(json["data_set"]["duplicates"][0][1]["split"], "test");
    assert_eq!(json["data_set"]["duplicates"][0][1]["file"], "test/dog/a.png");
    assert_eq!(json["data_set"]["skipped"].as_array().unwrap().len(), 1);
    assert_eq!(json["normalization"]["mean"].as_array().unwrap().len(), 3);
}

/// What a configuration cannot train on is where counts are needed most.
#[test]
fn check_counts_what_cannot_be_trained_on() {
    let folder = folder();
    let run = |change: &str| {
        let arguments = ["check", "pets.toml", "-s", change];
        let output = sd_data(folder.path(), &arguments).assert().failure().code(1);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&output.get_output().stdout), text(&output.get_output().stderr))
    };
    let (text, error) = run("data.validation={ fraction = 0.1, seed = 0 }");
    assert!(text.contains("train        2") && text.contains("test         1"), "{text}");
    assert!(error.contains("splits 2 images into 2 for training and 0"), "{error}");

    let constant = image::RgbImage::from_pixel(8, 8, image::Rgb([7; 3]));
    for name in ["train/cat/a", "train/dog/a"] {
        constant.save(folder.path().join("data/pets").join(name).with_extension("png")).unwrap();
    }
    let (text, error) = run("data.pad=0");
    assert!(text.contains("0.0000 0.0000 0.0000"), "{text}");
    assert!(text.contains("1 repeat an earlier one, 1 of them under another label"), "{text}");
    assert!(error.contains("the constant value 7 in channel 0"), "{error}");

    let folder = self::folder();
    fs::write(folder.path().join("data/pets/test/dog/a.png"), "no image").unwrap();
    let output = sd_data(folder.path(), &["check", "pets.toml"]).assert().failure();
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.contains("the split `test`: found no images"), "{error}");

    let misspelt = ["check", "pets.toml", "-s", "data.pads=1"];
    let output = sd_data(folder.path(), &misspelt).assert().failure();
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.contains("`pads`"), "{error}");
}

#[test]
fn check_compares_the_held_back_images() {
    let folder = folder();
    let pets = folder.path().join("data/pets");
    fs::copy(pets.join("train/cat/a.png"), pets.join("train/cat/b.png")).unwrap();
    let half = "data.validation={ fraction = 0.5, seed = 0 }";
    let output = sd_data(folder.path(), &["check", "pets.toml", "-s", half]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(text.contains("train, valid   1 of valid are also in train"), "{text}");
    assert!(text.contains("trains on 2 images, validates on 1"), "{text}");
}

#[test]
fn preview_writes_a_page() {
    let folder = folder();
    let output = sd_data(folder.path(), &["preview", "pets.toml"]).assert().success();
    assert_eq!(String::from_utf8_lossy(&output.get_output().stdout), "preview.html\n");
    let few = ["preview", "pets.toml", "--out", "b.html", "--images", "1", "--versions", "2"];
    sd_data(folder.path(), &few).assert().success();
    let pictures = |name: &str| {
        let page = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page.contains("train/cat/a.png") && !page.contains("<script"), "{page}");
        page.matches("<img src=\"data:image/png;base64,").count()
    };
    // Two training images, by default with eight versions each.
    assert_eq!((pictures("preview.html"), pictures("b.html")), (2 * 9, 3));
    for other in ["a.png", "a.JPG", "page"] {
        let arguments = ["preview", "pets.toml", "--out", other];
        let output = sd_data(folder.path(), &arguments).assert().failure();
        let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(error.contains(&format!("{other}, expected an HTML file")), "{error}");
    }
    sd_data(folder.path(), &["preview", "pets.toml", "--out", "a.HTM"]).assert().success();
}

#[test]
fn a_wrong_configuration_is_rejected() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("pets.toml")).unwrap();
    fs::write(folder.path().join("wrong.toml"), text.replace("side", "size")).unwrap();
    for command in ["check", "preview"] {
        let output = sd_data(folder.path(), &[command, "wrong.toml"]).assert().failure();
        let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert!(error.contains("wrong.toml") && error.contains("`size`"), "{error}");
    }
}

#[test]
fn samples_are_the_test_images_named_by_class() {
    let folder = folder();
    let made = "[data.dataset.synthetic]
        classes = 2
        train = 2
        test = 1
        channels = 1
        height = 5
        width = 7
        seed = 0";
    fs::write(folder.path().join("made.toml"), made).unwrap();
    let arguments = ["samples", "made.toml", "--out", "some"];
    let output = sd_data(folder.path(), &arguments).assert().success();
    let written = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(written.starts_with("some/000-") && written.ends_with(".png\n"), "{written}");
    let size = image::open(folder.path().join(written.trim())).unwrap().into_rgb8().dimensions();
    assert_eq!(size, (7, 5));
}

/// Whoever classifies them resizes and crops them, which must happen only once.
#[test]
fn samples_of_image_files_are_the_files() {
    let folder = folder();
    let pets = folder.path().join("data/pets");
    let image = image::RgbImage::from_fn(30, 20, |x, y| image::Rgb([x as u8, y as u8, 0]));
    image.save_with_format(pets.join("test/dog/a.png"), image::ImageFormat::Jpeg).unwrap();
    let table = "path,label,split\ntrain/dog/a.png,good dog,train\ntest/dog/a.png,good dog,test\n";
    fs::write(pets.join("pets.csv"), table).unwrap();
    let text = fs::read_to_string(folder.path().join("pets.toml")).unwrap();
    let text = text.replace(
        "image_folder = { folder = 'pets', classes = 2",
        "csv_manifest = { file = 'pets/pets.csv', classes = 1",
    );
    fs::write(folder.path().join("table.toml"), text).unwrap();
    for (config, expected) in
        [("pets.toml", "some/000-dog.jpg"), ("table.toml", "some/000-good_dog.jpg")]
    {
        let arguments = ["samples", config, "--out", "some"];
        let output = sd_data(folder.path(), &arguments).assert().success();
        assert_eq!(String::from_utf8_lossy(&output.get_output().stdout).trim(), expected);
        let written = fs::read(folder.path().join(expected)).unwrap();
        assert!(written == fs::read(pets.join("test/dog/a.png")).unwrap(), "{config}");
    }
}

#[test]
fn samples_decode_no_image_file() {
    let folder = folder();
    let strict = "data.dataset.image_folder.images.skip_broken=false";
    let run = |arguments: &[&str]| {
        let all = [&["samples", "pets.toml", "-s", strict], arguments].concat();
        sd_data(folder.path(), &all).assert()
    };
    // One of the training images is broken.
    let output = run(&["--out", "some"]).success();
    assert_eq!(String::from_utf8_lossy(&output.get_output().stdout), "some/000-dog.png\n");
    let output = run(&["--folders", "--out", "own"]).failure();
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.contains("b.jpg: found an unknown format, expected an image"), "{error}");
    // A packed file needs no image files.
    sd_data(folder.path(), &["pack", "pets.toml", "--out", "pets.pack"]).assert().success();
    fs::remove_dir_all(folder.path().join("data/pets")).unwrap();
    let packed = "data.dataset.image_folder.images.storage={ packed = 'pets.pack' }";
    let arguments = ["samples", "pets.toml", "-s", packed, "--out", "packed"];
    let output = sd_data(folder.path(), &arguments).assert().success();
    assert_eq!(String::from_utf8_lossy(&output.get_output().stdout), "packed/000-dog.png\n");
}

/// From nothing to a folder to train on.
#[test]
fn samples_in_folders_are_a_data_set() {
    let folder = folder();
    let made = "[data.dataset.synthetic]
        classes = 2
        train = 40
        test = 8
        channels = 1
        height = 40
        width = 34
        seed = 0";
    fs::write(folder.path().join("made.toml"), made).unwrap();
    let arguments = ["samples", "made.toml", "--folders", "--images", "20", "--out", "some/own"];
    let output = sd_data(folder.path(), &arguments).assert().success();
    let written = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(written.contains("some/own/train/") && written.contains("some/own/test/"), "{written}");
    assert_eq!(written.lines().count(), 28);

    let output = sd_data(folder.path(), &["check", "some/own"]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for fact in ["own: 3×32×32, 2 classes", "trains on 16 images, validates on 4"] {
        assert!(text.contains(fact), "`{fact}` is not in\n{text}");
    }
    sd_data(folder.path(), &["preview", "some/own", "--images", "1"]).assert().success();
    let output = sd_data(folder.path(), &["samples", "some/own"]).assert().success();
    assert_eq!(String::from_utf8_lossy(&output.get_output().stdout).lines().count(), 8);

    let output = sd_data(folder.path(), &arguments).assert().failure();
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.contains("some/own is not empty, expected a new or empty folder"), "{error}");
}
