//! Throughput of the loader on images of CIFAR's size:
//! `cargo run --release -p sd-data --example loader_throughput [AUGMENT [THREADS]…]`
//!
//! AUGMENT is a `data.augment` list in TOML: `'[{ flip = {} }]'`. Without it, several lists are
//! measured.

use sd_data::{
    AugmentConfig, DatasetConfig, Loader, LoaderConfig, Normalization, Order, SyntheticConfig,
};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const LISTS: [&str; 6] = [
    "[]",
    "[{ pad_crop = { padding = 4 } }, { flip = {} }]",
    "[{ pad_crop = { padding = 4 } }, { flip = {} }, { auto_augment = { policy = 'cifar10' } }, { random_erasing = {} }]",
    "[{ pad_crop = { padding = 4 } }, { flip = {} }, { rand_augment = {} }, { random_erasing = {} }]",
    "[{ pad_crop = { padding = 4 } }, { flip = {} }, { trivial_augment_wide = {} }, { cutout = { side = 16 } }]",
    "[{ pad_crop = { padding = 4 } }, { flip = {} }, { color_jitter = { brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 } }]",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let lists = arguments.next().map_or(LISTS.map(str::to_owned).to_vec(), |list| vec![list]);
    let mut threads = arguments.map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
    if threads.is_empty() {
        threads = vec![1, 2];
    }
    let dataset = DatasetConfig::Synthetic(SyntheticConfig {
        classes: 100,
        train: 50_000,
        test: 100,
        channels: 3,
        height: 32,
        width: 32,
        seed: 0,
    });
    let train = Arc::new(dataset.get().load(Path::new("data"))?.train);
    let normalization = Normalization::measure(&train)?;
    for list in lists {
        println!("augment = {list}");
        for &threads in &threads {
            let config = LoaderConfig {
                batch_size: 128,
                threads,
                prefetch: 4,
                seed: 0,
                order: Order::Shuffled,
                drop_last: true,
                partners: false,
                augment: read(&list)?,
                normalization: normalization.clone(),
            };
            let rate = throughput(&Loader::new(Arc::clone(&train), config)?);
            println!("  {threads} threads: {rate:.0} images/s (median of {EPOCHS} epochs)");
        }
    }
    Ok(())
}

fn read(list: &str) -> Result<Vec<AugmentConfig>, Box<dyn Error>> {
    let mut table: toml::Table = format!("augment = {list}").parse()?;
    Ok(table.remove("augment").ok_or("no list")?.try_into()?)
}

const EPOCHS: usize = 5;

fn throughput(loader: &Loader) -> f64 {
    let mut seconds = [0.0; EPOCHS];
    for (epoch, seconds) in seconds.iter_mut().enumerate() {
        let start = Instant::now();
        let images: usize = loader.epoch(epoch as u64, 0).map(|batch| batch.len()).sum();
        assert_eq!(images, loader.images());
        *seconds = start.elapsed().as_secs_f64();
    }
    seconds.sort_by(f64::total_cmp);
    loader.images() as f64 / seconds[EPOCHS / 2]
}
