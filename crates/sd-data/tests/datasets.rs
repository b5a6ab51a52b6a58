//! Data sets in files: loading and error messages.

use sd_data::{DataConfig, DatasetConfig, IdxConfig, ImageShape, Normalization};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The data folder of the workspace, or the one that `SD_DATA_DIR` names.
fn data_dir() -> PathBuf {
    let workspace = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    std::env::var_os("SD_DATA_DIR").map_or_else(workspace, PathBuf::from)
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 6e-6, "found {found}, expected {expected}");
    }
}

#[test]
fn cifar100_is_the_published_data_set() {
    let data_dir = data_dir();
    let there = ["cifar-100-binary", "cifar-100-binary.tar.gz"];
    if !there.iter().any(|name| data_dir.join(name).exists()) {
        eprintln!("skipped: no CIFAR-100 in `{}`", data_dir.display());
        return;
    }
    let data = DatasetConfig::Cifar100.get().load(&data_dir).unwrap();
    let test = data.test.unwrap();
    assert_eq!((data.train.len(), test.len()), (50_000, 10_000));
    assert_eq!((data.train.shape(), data.train.classes()), DatasetConfig::Cifar100.get().input());
    for class in 0..100 {
        let count = |labels: &[usize]| labels.iter().filter(|&&label| label == class).count();
        assert_eq!((count(data.train.labels()), count(test.labels())), (500, 100));
    }
    let names = data.train.class_names();
    assert_eq!((names[0].as_str(), names[99].as_str()), ("apple", "worm"));
    let measured = Normalization::measure(&data.train).unwrap();
    assert_close(&measured.mean, &[0.50708, 0.48655, 0.44092]);
    assert_close(&measured.deviation, &[0.26733, 0.25644, 0.27615]);
}

#[test]
fn the_fashion_mnist_subset_is_balanced() {
    let data_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let data =
        DatasetConfig::Idx(IdxConfig::new("fashion-mnist-small")).get().load(&data_dir).unwrap();
    assert_eq!(data.train.shape(), ImageShape::new(1, 28, 28));
    assert_eq!(data.train.class_names()[9], "Ankle boot");
    for (set, each) in [(&data.train, 600), (&data.test.unwrap(), 100)] {
        assert_eq!(set.len(), 10 * each);
        for class in 0..10 {
            assert_eq!(set.labels().iter().filter(|&&label| label == class).count(), each);
        }
    }
    // The full data set has 0.2860 and 0.3530.
    let measured = Normalization::measure(&data.train).unwrap();
    assert!((measured.mean[0] - 0.286).abs() < 0.005, "{measured:?}");
    assert!((measured.deviation[0] - 0.353).abs() < 0.005, "{measured:?}");
}

/// A folder `tiny` of 1×2 images in two classes: three training images, one test image.
fn idx_folder() -> TempDir {
    let data_dir = TempDir::new().unwrap();
    let write = |name: &str, header: &[u8], items: &[u8]| {
        let bytes = [&[0, 0, 8][..], header, items].concat();
        fs::write(data_dir.path().join("tiny").join(name), bytes).unwrap();
    };
    fs::create_dir(data_dir.path().join("tiny")).unwrap();
    let images = |count| [3, 0, 0, 0, count, 0, 0, 0, 1, 0, 0, 0, 2];
    write("train-images-idx3-ubyte", &images(3), &[1, 2, 3, 4, 5, 6]);
    write("train-labels-idx1-ubyte", &[1, 0, 0, 0, 3], &[0, 1, 0]);
    write("t10k-images-idx3-ubyte", &images(1), &[7, 8]);
    write("t10k-labels-idx1-ubyte", &[1, 0, 0, 0, 1], &[1]);
    data_dir
}

fn tiny() -> DatasetConfig {
    let config = IdxConfig { classes: 2, height: 1, width: 2, ..IdxConfig::new("tiny") };
    DatasetConfig::Idx(config)
}

#[test]
fn idx_plain_and_gzip_load_alike() {
    let data_dir = idx_folder();
    let plain = tiny().get().load(data_dir.path()).unwrap();
    assert_eq!(plain.train.pixels().unwrap(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(plain.train.labels(), [0, 1, 0]);
    let test = plain.test.as_ref().unwrap();
    assert_eq!((test.pixels().unwrap(), test.labels()), (vec![7, 8], &[1][..]));
    assert_eq!(plain.train.class_names(), ["0", "1"]);

    for entry in fs::read_dir(data_dir.path().join("tiny")).unwrap() {
        let path = entry.unwrap().path();
        let file = fs::File::create(format!("{}.gz", path.display())).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        std::io::copy(&mut fs::File::open(&path).unwrap(), &mut gzip).unwrap();
        gzip.finish().unwrap();
        fs::remove_file(path).unwrap();
    }
    assert_eq!(tiny().get().load(data_dir.path()).unwrap(), plain);

    fs::write(data_dir.path().join("tiny/class_names.txt"), "cat\ndog\n").unwrap();
    assert_eq!(tiny().get().load(data_dir.path()).unwrap().train.class_names(), ["cat", "dog"]);
}

#[test]
fn malformed_idx_files_are_rejected() {
    let data_dir = idx_folder();
    let folder = data_dir.path().join("tiny");
    let message = || tiny().get().load(data_dir.path()).unwrap_err().to_string();

    let labels = folder.join("train-labels-idx1-ubyte");
    fs::write(&labels, [0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2]).unwrap();
    let found = message();
    assert!(found.starts_with(&format!("`{}` at byte 10:", labels.display())), "{found}");
    assert!(found.ends_with("found label 2 of image 2, expected a label below 2"), "{found}");

    fs::write(&labels, [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]).unwrap();
    let found = message();
    assert!(found.ends_with("found 2 labels, expected 3, as many as there are images"), "{found}");

    fs::remove_file(&labels).unwrap();
    let found = message();
    assert!(found.contains("expected that file or `train-labels-idx1-ubyte.gz`"), "{found}");

    fs::write(folder.join("train-images-idx3-ubyte"), [0, 0, 8, 3, 0]).unwrap();
    assert!(message().contains("a header of 16 bytes"), "{}", message());
    fs::write(folder.join("class_names.txt"), "cat\n").unwrap();
    assert!(message().contains("found 1 class names, expected 2"), "{}", message());
}

#[test]
fn a_missing_idx_folder_names_the_remedy() {
    let load = |folder: &str| {
        let config = DatasetConfig::Idx(IdxConfig::new(folder));
        config.get().load(Path::new("no-such-data")).unwrap_err().to_string()
    };
    assert_eq!(
        load("fashion-mnist"),
        "no IDX data set in `no-such-data`: expected the folder `fashion-mnist`; \
         fetch it with `cargo xtask data fetch fashion-mnist`"
    );
    assert!(load("mine").ends_with("the folder `mine`; put its four files there"));
    let none = IdxConfig { width: 0, ..IdxConfig::new("mine") };
    let message = DatasetConfig::Idx(none).get().load(Path::new("data")).unwrap_err().to_string();
    assert_eq!(message, "`data.dataset.idx.width` is 0, expected at least 1");
}

#[test]
fn a_data_set_is_checked_without_a_file() {
    let images = "classes = 2, images = { side = 8";
    for (dataset, expected) in [
        ("idx = { folder = 'a', classes = 257 }".to_owned(), "idx.classes` is 257"),
        ("idx = { folder = 'a', width = 0 }".to_owned(), "idx.width` is 0"),
        (
            "image_folder = { folder = 'a', classes = 2, images = { side = 0 } }".to_owned(),
            "image_folder.images.side` is 0",
        ),
        (
            format!("csv_manifest = {{ file = 'a', {images}, shorter_side = 7 }} }}"),
            "csv_manifest.images.shorter_side` is 7",
        ),
        (
            format!("shards = {{ train = 'a', {images}, crop_from = 7 }} }}"),
            "shards.images.crop_from` is 7",
        ),
        (
            "shards = { train = 'a', classes = 0, images = { side = 8 } }".to_owned(),
            "shards.classes` is 0",
        ),
        (format!("shards = {{ train = 'a-{{1', {images} }} }}"), "shards.train` is `a-{1`"),
        (
            "synthetic = { classes = 2, train = 1099511627776, test = 1, channels = 1, \
             height = 8, width = 8, seed = 0 }"
                .to_owned(),
            "synthetic` is 2 classes, 1099511627776 + 1 images",
        ),
    ] {
        let text = format!("dataset = {{ {dataset} }}");
        let config: DataConfig = toml::from_str(&text).unwrap();
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let of_load = config.load(Path::new("nowhere")).unwrap_err().to_string();
        assert_eq!(of_load, error);
    }
}
