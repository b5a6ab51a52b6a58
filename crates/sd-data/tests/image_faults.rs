//! Image files that are broken, linked, listed twice, or no images.

mod pets;

use image::ImageFormat;
use pets::{LINES, fails_with, folder, images, manifest, pets, put, write};
use sd_data::{DatasetConfig, Error, ImageFilesConfig, ImageFolderConfig, Purpose};
use std::fs;

#[test]
fn broken_files_are_an_error_unless_skipped() {
    let data_dir = pets();
    let whole = fs::read(data_dir.path().join("pets/train/cat/b.jpg")).unwrap();
    write(&data_dir, "train/cat/aa.jpg", &whole[..whole.len() - 9]);
    write(&data_dir, "train/dog/notes", "no image");
    write(&data_dir, "test/dog/b.tif", b"II*\0");
    // The files of all splits are named at once.
    fails_with(
        &folder(2, images()),
        &data_dir,
        &[
            "3 of 8 files cannot be read as images:",
            "train/cat/aa.jpg`: truncated JPEG file",
            "train/dog/notes`: found an unknown format, expected JPEG, PNG, WebP, BMP or GIF",
            "test/dog/b.tif`: found TIFF, expected JPEG, PNG, WebP, BMP or GIF",
            "`data.dataset.image_folder.images.skip_broken` to true",
        ],
    );
    let skipping = folder(2, ImageFilesConfig { skip_broken: true, ..images() });
    let splits = skipping.get().load(data_dir.path()).unwrap();
    let whole = folder(2, images()).get().load(pets().path()).unwrap();
    assert_eq!((&splits.train, &splits.test), (&whole.train, &whole.test));
    let names: Vec<_> = splits.skipped.iter().map(|file| file.path.file_name().unwrap()).collect();
    assert_eq!(names, ["aa.jpg", "notes", "b.tif"]);

    // Eleven of 16 files are more than ten and more than a tenth.
    for index in 0..8 {
        write(&data_dir, &format!("test/cat/{index}.png"), "");
    }
    fails_with(&skipping, &data_dir, &["11 of 16 files", "skip_broken` skips at most 10 of 16"]);
}

#[test]
fn only_broken_images_are_skipped() {
    let data_dir = pets();
    write(&data_dir, "train/cat/aa.jpg", "no image");
    write(&data_dir, "a.csv", [LINES, "train,,train/cat/aa.jpg,tom\n"].concat());
    let skipping = manifest(2, ImageFilesConfig { skip_broken: true, ..images() });
    assert_eq!(skipping.get().load(data_dir.path()).unwrap().skipped.len(), 1);
    let facts =
        ["1 of 5 files", "aa.jpg` (line 7): found", "`data.dataset.csv_manifest.images.skip_"];
    fails_with(&manifest(2, images()), &data_dir, &facts);
    let missing = [LINES, "train,,train/cat/aa.jpg,tom\ntrain,,nothing.png,tom\n"].concat();
    write(&data_dir, "a.csv", missing);
    let facts =
        ["1 of 6 files", "nothing.png` (line 8): No such", "not skipped as broken images are"];
    fails_with(&skipping, &data_dir, &facts);
}

#[test]
fn files_of_other_kinds_are_ignored_and_folders_searched() {
    let data_dir = pets();
    for name in ["Thumbs.db", "desktop.ini", "notes.TXT", "images/labels.csv", ".ipynb/a.png"] {
        write(&data_dir, &format!("train/dog/{name}"), "no image");
    }
    write(&data_dir, "train/desktop.ini", "no class");
    write(&data_dir, "test/Thumbs.db", "no class");
    put(&data_dir, "train/dog/images/more/c.png", 35);
    let splits = folder(2, images()).get().load(data_dir.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 1, 1]);
    assert_eq!(splits.train.file(3), Some("train/dog/images/more/c.png"));
    assert_eq!(splits.train.image(3).unwrap()[0], 35);
    assert_eq!(splits.skipped, []);
}

#[test]
fn a_file_is_listed_once_however_it_is_spelled() {
    let data_dir = pets();
    let twice = "path,label,split\ntrain/cat/a.PNG,tom,train\n./train/cat//a.PNG,tom,test\n";
    write(&data_dir, "a.csv", twice);
    let facts = ["a.PNG` (line 3): the same file as `train/cat/a.PNG`"];
    fails_with(&manifest(1, images()), &data_dir, &facts);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_rejected() {
    use std::os::unix::ffi::OsStrExt;
    let data_dir = pets();
    let folder_of_cats = data_dir.path().join("pets/train/cat");
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
    fs::copy(folder_of_cats.join("a.PNG"), folder_of_cats.join(name)).unwrap();
    fails_with(&folder(2, images()), &data_dir, &["1 of 6 files", ": the name is not UTF-8"]);
}

/// Opening a pipe would wait for a writer.
#[cfg(unix)]
#[test]
fn pipes_are_rejected() {
    let data_dir = pets();
    let pipe = |name: &str| {
        let path = data_dir.path().join("pets").join(name);
        let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(status.success());
    };
    pipe("a.csv");
    let found = "a.csv`: found a pipe or device, expected a regular file";
    fails_with(&manifest(2, images()), &data_dir, &[found]);
    pipe("class_names.txt");
    let idx = DatasetConfig::Idx(sd_data::IdxConfig::new("pets"));
    fails_with(&idx, &data_dir, &["class_names.txt`: found a pipe"]);
    pipe("train/cat/pipe.png");
    fails_with(&folder(2, images()), &data_dir, &["pipe.png`: not a regular file"]);
    // Nor are they opened to estimate the memory of images at their own size.
    let error = folder(2, images()).get().load_for(data_dir.path(), Purpose::Crops).unwrap_err();
    assert!(error.to_string().contains("pipe.png`: not a regular file"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_out_of_the_data_set_are_rejected() {
    use std::os::unix::fs::symlink;
    let data_dir = pets();
    let root = data_dir.path().join("pets");
    let outside = data_dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::copy(root.join("train/cat/a.PNG"), outside.join("a.png")).unwrap();
    // Links inside the data set are allowed, and the data set itself may be a link.
    put(&data_dir, "pool/a.png", 70);
    symlink("../../pool/a.png", root.join("train/dog/link.png")).unwrap();
    symlink(&root, data_dir.path().join("elsewhere")).unwrap();
    let linked = ImageFolderConfig { folder: "elsewhere".to_owned(), classes: 2, images: images() };
    assert_eq!(
        DatasetConfig::ImageFolder(linked).get().load(data_dir.path()).unwrap().train.labels(),
        [0, 0, 1, 1]
    );
    symlink(outside.join("a.png"), root.join("train/dog/out.png")).unwrap();
    fails_with(&folder(2, images()), &data_dir, &["1 of 7", "train/dog/out.png`: links to `"]);
    write(&data_dir, "a.csv", "path,label,split\ntrain/dog/out.png,a,train\ntest/cat/a.png,a,test");
    fails_with(&manifest(1, images()), &data_dir, &["out.png` (line 2): links to `"]);
    fs::remove_file(root.join("train/dog/out.png")).unwrap();
    symlink(&outside, root.join("train/eel")).unwrap();
    fails_with(&folder(3, images()), &data_dir, &["train/eel`: links to `"]);
    let following = ImageFilesConfig { follow_links: true, ..images() };
    let splits = folder(3, following.clone()).get().load(data_dir.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 1, 1, 2]);
    assert_eq!(splits.train.file(4), Some("train/eel/a.png"));
    // A link to a file that is listed already, and a loop.
    symlink("../../train/cat/a.PNG", root.join("test/cat/again.png")).unwrap();
    let again = ["again.png`: the same file as `train/cat/a.PNG`"];
    fails_with(&folder(3, following.clone()), &data_dir, &again);
    fs::remove_file(root.join("test/cat/again.png")).unwrap();
    symlink("..", root.join("train/cat/loop")).unwrap();
    fails_with(&folder(3, following), &data_dir, &["cannot read `", "train/cat/loop"]);
    fs::remove_file(root.join("train/cat/loop")).unwrap();
    fs::remove_file(root.join("train/eel")).unwrap();
    symlink("nowhere", root.join("val")).unwrap();
    fails_with(&folder(2, images()), &data_dir, &["cannot read `", "pets/val`: No such file"]);
    fs::remove_file(root.join("val")).unwrap();
    // As an editor locks a file that is open.
    symlink("nowhere", root.join("train/dog/.#notes")).unwrap();
    assert!(folder(2, images()).get().load(data_dir.path()).is_ok());
    symlink("nowhere", root.join("train/dog/nothing.png")).unwrap();
    fails_with(&folder(2, images()), &data_dir, &["train/dog/nothing.png`: No such file"]);
}

#[test]
fn only_the_first_broken_files_are_listed() {
    let data_dir = pets();
    for index in 0..30 {
        write(&data_dir, &format!("train/cat/{index}.jpg"), "");
    }
    let error = folder(2, images()).get().load(data_dir.path()).unwrap_err();
    assert!(error.to_string().contains("\n  and 10 more\n"), "{error}");
    let Error::Broken { files, total: 35, .. } = error else { panic!("{error}") };
    assert_eq!(files.len(), 30);
}

#[test]
fn the_format_is_detected_by_content() {
    let data_dir = pets();
    let path = data_dir.path().join("pets/train/cat/a.PNG");
    let image = image::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    image.save_with_format(&path, ImageFormat::WebP).unwrap();
    assert_eq!(
        folder(2, images()).get().load(data_dir.path()).unwrap().train.image(0).unwrap()[0],
        10
    );
}
