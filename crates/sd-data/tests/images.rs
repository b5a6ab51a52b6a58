//! Image files in folders and CSV files: loading and error messages.

use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use sd_data::{
    CsvManifestConfig, DataConfig, DatasetConfig, Error, ImageFilesConfig, ImageFolderConfig,
    ImageShape, NormalizeConfig, Splits, ValidationConfig,
};
use std::fs;
use tempfile::TempDir;

fn images() -> ImageFilesConfig {
    ImageFilesConfig::new(4)
}

fn folder(classes: usize, images: ImageFilesConfig) -> DatasetConfig {
    DatasetConfig::ImageFolder(ImageFolderConfig { folder: "pets".to_owned(), classes, images })
}

fn manifest(classes: usize, images: ImageFilesConfig) -> DatasetConfig {
    DatasetConfig::CsvManifest(CsvManifestConfig { file: "pets/a.csv".to_owned(), classes, images })
}

/// Writes an image of one colour, in the format of its extension.
fn put(data_dir: &TempDir, name: &str, color: u8) {
    let path = data_dir.path().join("pets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(9, 6, Rgb([color; 3])).save(path).unwrap();
}

/// Two classes: three training images, two test images.
fn pets() -> TempDir {
    let data_dir = TempDir::new().unwrap();
    for (name, color) in [
        ("train/dog/b.webp", 30),
        ("train/cat/b.jpg", 20),
        ("train/cat/a.PNG", 10),
        ("test/dog/a.png", 50),
        ("test/cat/a.png", 40),
    ] {
        put(&data_dir, name, color);
    }
    fs::write(data_dir.path().join("pets/train/cat/.DS_Store"), "no image").unwrap();
    data_dir
}

fn write(data_dir: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    let path = data_dir.path().join("pets").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[track_caller]
fn fails_with(dataset: &DatasetConfig, data_dir: &TempDir, facts: &[&str]) {
    let error = dataset.get().load(data_dir.path()).unwrap_err().to_string();
    for fact in facts {
        assert!(error.contains(fact), "`{fact}` is not in: {error}");
    }
}

#[test]
fn folders_are_splits_and_classes() {
    let data_dir = pets();
    let dataset = folder(2, images());
    let Splits { train, valid, test, skipped } = dataset.get().load(data_dir.path()).unwrap();
    assert_eq!((train.shape(), train.classes()), dataset.get().input());
    assert_eq!(train.shape(), ImageShape::new(3, 4, 4));
    assert_eq!(train.class_names(), ["cat", "dog"]);
    let test = test.unwrap();
    assert_eq!((train.labels(), test.labels()), (&[0, 0, 1][..], &[0, 1][..]));
    let colors: Vec<u8> = (0..3).map(|index| train.image(index)[0]).collect();
    assert_eq!(colors, [10, 20, 30]);
    assert_eq!(test.pixels(), [[40; 48], [50; 48]].as_flattened());
    assert_eq!(train.file(2), Some("train/dog/b.webp"));
    assert_eq!((valid, skipped), (None, Vec::new()));
    assert_eq!(train.select(&[2, 0]).padded(1).file(0), Some("train/dog/b.webp"));
}

#[test]
fn the_val_folder_is_the_validation_split() {
    let data_dir = pets();
    put(&data_dir, "val/dog/a.png", 60);
    let mut config = DataConfig {
        dataset: folder(2, images()),
        pad: 1,
        validation: None,
        augment: Vec::new(),
        normalize: NormalizeConfig::Measured,
    };
    let data = config.open(data_dir.path()).unwrap();
    let valid = data.valid.unwrap();
    assert_eq!((valid.labels(), valid.shape()), (&[1][..], config.input().0));
    config.validation = Some(ValidationConfig { fraction: 0.5, seed: 0 });
    assert_eq!(
        config.open(data_dir.path()).unwrap_err().to_string(),
        "`data.validation` is set, expected unset: the data set has 1 validation images of its own"
    );
    fs::remove_dir_all(data_dir.path().join("pets/val")).unwrap();
    let data = config.open(data_dir.path()).unwrap();
    // One image per class stays in training: half of the only dog would be all of it.
    assert_eq!((data.train.labels(), data.valid.unwrap().labels()), (&[0, 1][..], &[0][..]));
}

#[test]
fn the_validation_folder_has_any_of_the_usual_names() {
    let data_dir = pets();
    let root = data_dir.path().join("pets");
    put(&data_dir, "val/dog/a.png", 60);
    for (from, to) in [("val", "valid"), ("valid", "validation")] {
        fs::rename(root.join(from), root.join(to)).unwrap();
        let splits = folder(2, images()).get().load(data_dir.path()).unwrap();
        assert_eq!(splits.valid.unwrap().labels(), [1]);
    }
    put(&data_dir, "valid/dog/a.png", 60);
    let both = ["pets`: found both `valid` and `validation`, expected one folder of validation"];
    fails_with(&folder(2, images()), &data_dir, &both);
}

#[test]
fn a_data_set_may_lack_a_test_split() {
    let data_dir = pets();
    fs::rename(data_dir.path().join("pets/test"), data_dir.path().join("pets/val")).unwrap();
    let splits = folder(2, images()).get().load(data_dir.path()).unwrap();
    assert_eq!((splits.valid.unwrap().labels(), splits.test), (&[0, 1][..], None));
    write(&data_dir, "a.csv", "path,label,split\ntrain/cat/a.PNG,tom,train\n");
    let splits = manifest(1, images()).get().load(data_dir.path()).unwrap();
    assert_eq!((splits.valid, splits.test), (None, None));
    // A folder without images is no such data set.
    fs::create_dir(data_dir.path().join("pets/test")).unwrap();
    fails_with(&folder(2, images()), &data_dir, &["pets/test`: found no files"]);
}

#[test]
fn a_class_without_training_images_is_refused() {
    let data_dir = pets();
    fs::create_dir(data_dir.path().join("pets/train/eel")).unwrap();
    write(&data_dir, "train/fox/a.jpg", "no image");
    let skipping = ImageFilesConfig { skip_broken: true, ..images() };
    let config = DataConfig {
        dataset: folder(4, skipping),
        pad: 0,
        validation: None,
        augment: Vec::new(),
        normalize: NormalizeConfig::Measured,
    };
    let message = config.open(data_dir.path()).unwrap_err().to_string();
    let expected = "the split `train`: found no images of 2 of 4 classes: `eel`, `fox`";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn broken_files_are_an_error_unless_skipped() {
    let data_dir = pets();
    let whole = fs::read(data_dir.path().join("pets/train/cat/b.jpg")).unwrap();
    write(&data_dir, "train/cat/aa.jpg", &whole[..whole.len() - 9]);
    write(&data_dir, "train/dog/notes", "no image");
    write(&data_dir, "test/dog/b.tif", "no image");
    // The files of all splits are named at once.
    fails_with(
        &folder(2, images()),
        &data_dir,
        &[
            "3 of 8 files cannot be read as images:",
            "train/cat/aa.jpg`: truncated JPEG file",
            "train/dog/notes`: neither JPEG nor PNG nor WebP",
            "test/dog/b.tif`: neither JPEG nor PNG nor WebP",
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
        ["1 of 5 files", "aa.jpg` (line 7): neither", "`data.dataset.csv_manifest.images.skip_"];
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
    put(&data_dir, "train/dog/images/more/c.png", 35);
    let splits = folder(2, images()).get().load(data_dir.path()).unwrap();
    assert_eq!(splits.train.labels(), [0, 0, 1, 1]);
    assert_eq!(splits.train.file(3), Some("train/dog/images/more/c.png"));
    assert_eq!(splits.train.image(3)[0], 35);
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
}

#[test]
fn wrong_folder_layouts_are_rejected() {
    let data_dir = pets();
    fails_with(
        &folder(3, images()),
        &data_dir,
        &["`data.dataset.image_folder.classes` is 3, expected 2,", "pets/train`: cat, dog"],
    );
    put(&data_dir, "test/eel/a.png", 0);
    fails_with(
        &folder(2, images()),
        &data_dir,
        &["test/eel`: found the class `eel`, expected one of the 2 classes in `train`"],
    );
    fs::remove_dir_all(data_dir.path().join("pets/test")).unwrap();
    write(&data_dir, "train/a.png", "");
    fails_with(
        &folder(2, images()),
        &data_dir,
        &["train/a.png`: found a file, expected one folder per class"],
    );
    let empty = TempDir::new().unwrap();
    fails_with(&folder(2, images()), &empty, &["the folder `pets`", "`train/CLASS/FILE`"]);
}

#[test]
fn values_out_of_range_are_rejected() {
    let data_dir = pets();
    for (images, fact) in [
        (ImageFilesConfig::new(0), "images.side` is 0, expected 1 to 4096"),
        (ImageFilesConfig::new(4097), "images.side` is 4097, expected 1 to 4096"),
        (
            ImageFilesConfig { shorter_side: Some(3), ..images() },
            "images.shorter_side` is 3, expected 4 (`side`) to 4096",
        ),
        (
            ImageFilesConfig { memory_gb: 0, ..images() },
            "images.memory_gb` is 0, expected more, or a smaller `side`: \
             5 images of 4×4 pixels need 0.0 MB",
        ),
    ] {
        fails_with(&folder(2, images.clone()), &data_dir, &["`data.dataset.image_folder.", fact]);
        write(&data_dir, "a.csv", LINES);
        if images.memory_gb > 0 {
            fails_with(&manifest(2, images), &data_dir, &["`data.dataset.csv_manifest.", fact]);
        }
    }
}

const LINES: &str = "\
split , note,path, label
train,,train/cat/a.PNG,tom
test,\"two\nlines\", test/dog/a.png ,rex
val,,./train/cat/b.jpg,tom
train,,train/dog/b.webp,rex
";

#[test]
fn a_csv_file_lists_images() {
    let data_dir = pets();
    write(&data_dir, "a.csv", LINES);
    let dataset = manifest(2, images());
    let Splits { train, valid, test, .. } = dataset.get().load(data_dir.path()).unwrap();
    assert_eq!((train.shape(), train.classes()), dataset.get().input());
    assert_eq!(train.class_names(), ["rex", "tom"]);
    let test = test.unwrap();
    assert_eq!((train.labels(), test.labels()), (&[1, 0][..], &[0][..]));
    assert_eq!((train.image(0)[0], train.image(1)[0], test.image(0)[0]), (10, 30, 50));
    assert_eq!(valid.unwrap().file(0), Some("./train/cat/b.jpg"));
}

#[test]
fn a_wrong_csv_line_is_rejected() {
    let data_dir = pets();
    let head = "path,label,split\ntrain/cat/a.PNG,tom,train\ntest/dog/a.png,tom,test\n";
    let dataset = manifest(1, images());
    let wrong = |line: &str, facts: &[&str]| {
        write(&data_dir, "a.csv", [head, line].concat());
        fails_with(&dataset, &data_dir, &[&["a.csv` line 4: found "], facts].concat());
    };
    wrong(
        "../b.png,tom,test",
        &["the path `../b.png`, expected a path inside the folder of the CSV file"],
    );
    wrong("train/../../b.png,tom,test", &["a path inside"]);
    wrong("/etc/passwd,tom,test", &["a path inside"]);
    wrong(",tom,test", &["the path ``"]);
    wrong("b.png,,test", &["no label"]);
    wrong("b.png,tom,tests", &["the split `tests`, expected `train`, `val` or `test`"]);
    wrong("b.png,rex,test", &["the label `rex`, expected one of the 1 labels of `train`"]);
    wrong("b.png,tom", &["2 values, expected 3, as in the header"]);
    wrong("train/cat/a.PNG,tom,test", &["`train/cat/a.PNG`, which is also in line 2"]);

    write(&data_dir, "a.csv", [head.as_bytes(), b"b\xff.png,tom,test\n"].concat());
    fails_with(&dataset, &data_dir, &["a.csv` line 4: found bytes that are not UTF-8"]);
    write(&data_dir, "a.csv", [head, "b.png,tom,test\n"].concat());
    fails_with(
        &dataset,
        &data_dir,
        &["1 of 3 files", "b.png` (line 4): No such file", "repair or remove them"],
    );
    write(&data_dir, "a.csv", "path,label\na.png,tom\n");
    fails_with(&dataset, &data_dir, &["line 1: found the columns `path`, `label`, expected"]);
    write(&data_dir, "a.csv", [head, "b.png,tom,val\nc.png,tom,valid\n"].concat());
    let facts = ["line 5: found the split `valid`, expected one name for the validation images"];
    fails_with(&dataset, &data_dir, &facts);
    write(&data_dir, "a.csv", ["\u{feff}", head].concat());
    assert_eq!(dataset.get().load(data_dir.path()).unwrap().train.len(), 1, "a byte order mark");
    fails_with(&manifest(2, images()), &data_dir, &["`data.dataset.csv_manifest.classes` is 2"]);
    fs::remove_file(data_dir.path().join("pets/a.csv")).unwrap();
    fails_with(&dataset, &data_dir, &["expected the file `pets/a.csv`", "`path,label,split`"]);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_csv_never_panics(
        header in any::<bool>(),
        bytes in prop::collection::vec(
            prop_oneof![
                any::<u8>(),
                prop::sample::select(b",\"\n\r./ab".to_vec()),
            ],
            0..200,
        ),
    ) {
        let data_dir = TempDir::new().unwrap();
        let head: &[u8] = if header { b"path,label,split\na,b,train\nb,b,test\n" } else { b"" };
        write(&data_dir, "a.csv", [head, &bytes].concat());
        prop_assert!(manifest(1, images()).get().load(data_dir.path()).is_err());
    }

    #[test]
    fn arbitrary_names_never_panic(names in prop::collection::vec("[^/\0]{1,12}", 1..6)) {
        let data_dir = pets();
        for (index, name) in names.iter().enumerate() {
            if name != "." && name != ".." {
                let folder = data_dir.path().join("pets/train");
                let path = if index % 2 == 0 { folder.join(name) } else { folder.join("cat").join(name) };
                let _ = fs::create_dir_all(&path);
            }
        }
        let _ = folder(2, images()).get().load(data_dir.path());
    }
}

#[test]
fn the_format_is_detected_by_content() {
    let data_dir = pets();
    let path = data_dir.path().join("pets/train/cat/a.PNG");
    let image = image::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    image.save_with_format(&path, ImageFormat::WebP).unwrap();
    assert_eq!(folder(2, images()).get().load(data_dir.path()).unwrap().train.image(0)[0], 10);
}
