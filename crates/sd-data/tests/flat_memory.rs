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
    for class in ["cat", "dog"] {
        for split in ["train", "val"] {
            let folder = data_dir.path().join("pets").join(split).join(class);
            fs::create_dir_all(&folder).unwrap();
            for index in 0..if split == "train" { 60 } else { 1 } {
                let image = RgbImage::from_pixel(250, 200, Rgb([index; 3]));
                image.save(folder.join(format!("{index}.jpg"))).unwrap();
            }
        }
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
