//! A small data set and its batches, shared by tests of the forms that images are stored in.

use image::{Rgb, RgbImage};
use sd_data::{Batch, Data, DataConfig, Loader, LoaderConfig, Order};
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

/// Images of many sizes in `pets`, ten of each class in `train` and two in `val`.
pub fn pets() -> TempDir {
    let data_dir = TempDir::new().unwrap();
    for index in 0..24_u32 {
        let split = if index < 20 { "train" } else { "val" };
        let class = ["cat", "dog"][index as usize % 2];
        let folder = data_dir.path().join("pets").join(split).join(class);
        fs::create_dir_all(&folder).unwrap();
        let (width, height) = (30 + 7 * (index % 5), 24 + 11 * (index % 4));
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([0, 1, 2].map(|c| (x * 5 + y * (3 + c) + index * 11 + (x * y) % (7 + c)) as u8))
        });
        let ending = ["jpg", "png"][usize::from(index % 3 == 0)];
        image.save(folder.join(format!("{index:02}.{ending}"))).unwrap();
    }
    data_dir
}

/// A configuration of these images with this storage, more keys of `images`, and augmentation.
pub fn config(storage: &str, images: &str, augment: &str) -> DataConfig {
    let text = format!(
        "dataset = {{ image_folder = {{ folder = 'pets', classes = 2, images = {{ side = 16, \
         shorter_side = 20, storage = {storage}{images} }} }} }}\naugment = [{augment}]"
    );
    toml::from_str(&text).unwrap()
}

pub const CROP: &str = "{ random_resized_crop = {} }";
pub const AUGMENTS: [&str; 4] = [
    "",
    "{ random_resized_crop = {} }, { flip = {} }, { random_erasing = {} }",
    "{ flip = {} }, { random_resized_crop = {} }",
    "{ random_resized_crop = { scale = [0.5, 1.0] } }, { trivial_augment_wide = {} }, { pad_crop = { padding = 2 } }",
];

pub fn loader(data: &Data, config: &DataConfig, threads: usize) -> Loader {
    let config = LoaderConfig {
        seed: 7,
        order: Order::Shuffled,
        augment: config.augment.clone(),
        ..LoaderConfig::in_order(6, threads, data.normalization.clone())
    };
    Loader::new(Arc::clone(&data.train), config).unwrap()
}

/// Two epochs, and the validation images.
pub fn batches(data: &Data, config: &DataConfig, threads: usize) -> Vec<Batch> {
    let loader = loader(data, config, threads);
    let valid = LoaderConfig::in_order(3, threads, data.normalization.clone());
    let valid = Loader::new(data.valid.clone().unwrap(), valid).unwrap();
    let all = loader.epoch(0, 0).chain(loader.epoch(1, 0)).chain(valid.epoch(0, 0));
    all.collect::<sd_data::Result<_>>().unwrap()
}

pub fn open(config: &DataConfig, data_dir: &TempDir) -> Data {
    config.open(data_dir.path()).unwrap()
}
