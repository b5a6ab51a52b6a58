//! Image files in folders and CSV files: loading and error messages.

mod pets;

use pets::{LINES, fails_with, folder, images, manifest, pets, put, write};
use proptest::prelude::*;
use sd_data::{
    DataConfig, HoldBackConfig, ImageFilesConfig, ImageShape, NormalizeConfig, Splits,
    StorageConfig,
};
use std::fs;
use tempfile::TempDir;

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
    let colors: Vec<u8> = (0..3).map(|index| train.image(index).unwrap()[0]).collect();
    assert_eq!(colors, [10, 20, 30]);
    assert_eq!(test.pixels().unwrap(), [[40; 48], [50; 48]].as_flattened());
    assert_eq!(train.file(2), Some("train/dog/b.webp"));
    assert_eq!((valid, skipped), (None, Vec::new()));
    assert_eq!(train.select(&[2, 0]).padded(1).unwrap().file(0), Some("train/dog/b.webp"));
}

#[test]
fn the_val_folder_is_the_validation_split() {
    let data_dir = pets();
    put(&data_dir, "val/dog/a.png", 60);
    let mut config = DataConfig {
        dataset: folder(2, images()),
        pad: 1,
        validation: None,
        test: None,
        augment: Vec::new(),
        normalize: NormalizeConfig::Measured,
    };
    let data = config.open(data_dir.path()).unwrap();
    let valid = data.valid.unwrap();
    assert_eq!((valid.labels(), valid.shape()), (&[1][..], config.input().0));
    config.validation = Some(HoldBackConfig { fraction: 0.5, seed: 0 });
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
        test: None,
        augment: Vec::new(),
        normalize: NormalizeConfig::Measured,
    };
    let message = config.open(data_dir.path()).unwrap_err().to_string();
    let expected = "the split `train`: found no images of 2 of 4 classes: `eel`, `fox`";
    assert!(message.starts_with(expected), "{message}");
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
            ImageFilesConfig { memory_gb: 0, storage: StorageConfig::Memory, ..images() },
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

/// Refused before an image is read: none of them exists.
#[test]
fn images_beyond_the_memory_of_the_machine_are_refused() {
    let data_dir = TempDir::new().unwrap();
    let lines = (0..500_000).map(|index| format!("{index}.png,tom,train\n"));
    write(&data_dir, "a.csv", format!("path,label,split\n{}", lines.collect::<String>()));
    let storage = StorageConfig::Memory;
    let images = ImageFilesConfig { memory_gb: 1_000_000, storage, ..ImageFilesConfig::new(4096) };
    let needed = "500000 images of 4096×4096 pixels need 25165.8 GB of memory, but ";
    let advice = " GB are available; use a smaller `data.dataset.csv_manifest.images.side`";
    fails_with(&manifest(1, images), &data_dir, &[needed, advice]);
}

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
    assert_eq!(
        (train.image(0).unwrap()[0], train.image(1).unwrap()[0], test.image(0).unwrap()[0]),
        (10, 30, 50)
    );
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
