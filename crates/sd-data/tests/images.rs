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
    assert_eq!((data.train.len(), data.valid.unwrap().len()), (1, 2));
}

#[test]
fn broken_files_are_an_error_unless_skipped() {
    let data_dir = pets();
    let whole = fs::read(data_dir.path().join("pets/train/cat/b.jpg")).unwrap();
    write(&data_dir, "train/cat/aa.jpg", &whole[..whole.len() - 9]);
    write(&data_dir, "train/dog/notes.txt", "no image");
    fs::create_dir(data_dir.path().join("pets/train/dog/more")).unwrap();
    fails_with(
        &folder(2, images()),
        &data_dir,
        &[
            "3 of 6 files cannot be read as images:",
            "train/cat/aa.jpg`: truncated JPEG file",
            "train/dog/more`: not a regular file",
            "train/dog/notes.txt`: neither JPEG nor PNG nor WebP",
            "`data.dataset.image_folder.images.skip_broken` to true",
        ],
    );
    let skipping = folder(2, ImageFilesConfig { skip_broken: true, ..images() });
    let splits = skipping.get().load(data_dir.path()).unwrap();
    let whole = folder(2, images()).get().load(pets().path()).unwrap();
    assert_eq!((&splits.train, &splits.test), (&whole.train, &whole.test));
    let names: Vec<_> = splits.skipped.iter().map(|file| file.path.file_name().unwrap()).collect();
    assert_eq!(names, ["aa.jpg", "more", "notes.txt"]);
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
    fails_with(&folder(2, images()), &data_dir, &["cannot read `", "pets/test`"]);
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
        &["1 of 2 files", "b.png` (line 4): ", "csv_manifest.images.skip_"],
    );
    write(&data_dir, "a.csv", "path,label\na.png,tom\n");
    fails_with(&dataset, &data_dir, &["line 1: found the columns `path`, `label`, expected"]);
    write(&data_dir, "a.csv", "path,label,split\ntrain/cat/a.PNG,tom,train\n");
    fails_with(&dataset, &data_dir, &["a.csv`: found no `test` lines"]);
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
    symlink("../../train/cat/a.PNG", root.join("train/dog/link.png")).unwrap();
    symlink(&root, data_dir.path().join("elsewhere")).unwrap();
    let linked = ImageFolderConfig { folder: "elsewhere".to_owned(), classes: 2, images: images() };
    assert_eq!(
        DatasetConfig::ImageFolder(linked).get().load(data_dir.path()).unwrap().train.labels(),
        [0, 0, 1, 1]
    );
    symlink(outside.join("a.png"), root.join("train/dog/out.png")).unwrap();
    fails_with(&folder(2, images()), &data_dir, &["1 of 5", "train/dog/out.png`: links to `"]);
    write(&data_dir, "a.csv", "path,label,split\ntrain/dog/out.png,a,train\ntest/cat/a.png,a,test");
    fails_with(&manifest(1, images()), &data_dir, &["out.png` (line 2): links to `"]);
    fs::remove_file(root.join("train/dog/out.png")).unwrap();
    symlink(&outside, root.join("train/eel")).unwrap();
    fails_with(&folder(3, images()), &data_dir, &["train/eel/a.png`: links to `"]);
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
    let Error::Broken { files, total: 33, .. } = error else { panic!("{error}") };
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
