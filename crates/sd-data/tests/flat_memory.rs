//! Streaming needs no more memory the longer it goes on.
#![cfg(target_os = "linux")]

use image::{Rgb, RgbImage};
use sd_data::{DataConfig, Loader, LoaderConfig, Order};
use std::fs;
use tempfile::TempDir;

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn peak_memory_stays_flat_over_epochs() {
    let data_dir = TempDir::new().unwrap();
    let jpeg = data_dir.path().join("0.jpg");
    RgbImage::from_fn(250, 200, |x, y| Rgb([x as u8, y as u8, 9])).save(&jpeg).unwrap();
    for index in 0..124 {
        let (split, class) = (["train", "val"][index / 120], ["cat", "dog"][index % 2]);
        let folder = data_dir.path().join("pets").join(split).join(class);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(&jpeg, folder.join(format!("{index}.jpg"))).unwrap();
    }
    let config: DataConfig = toml::from_str(
        "dataset = { image_folder = { folder = 'pets', classes = 2, images = { side = 64, storage = 'stream' } } }
         augment = [{ random_resized_crop = {} }, { flip = {} }]",
    )
    .unwrap();
    let data = config.open(data_dir.path()).unwrap();
    let loader = LoaderConfig {
        order: Order::Shuffled,
        augment: config.augment.clone(),
        ..LoaderConfig::in_order(8, 2, data.normalization.clone())
    };
    let loader = Loader::new(data.train, loader).unwrap();
    let epoch = |epoch| assert_eq!(loader.epoch(epoch, 0).filter(Result::is_ok).count(), 15);
    epoch(0);
    let first = peak();
    (1..8).for_each(epoch);
    // The images of an epoch would take 18 MB.
    assert!(peak() <= first + first / 20, "{} bytes, after the first epoch {first}", peak());
}
