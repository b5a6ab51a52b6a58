//! Images a second through the loader, on images of CIFAR's size:
//! `cargo run --release -p sd-data --example loader_throughput [THREADS]…`

use sd_data::{
    AugmentConfig, DatasetConfig, FlipConfig, Loader, LoaderConfig, Normalization, Order,
    PadCropConfig, SyntheticConfig,
};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut threads =
        std::env::args().skip(1).map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
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
    let train = Arc::new(dataset.load(Path::new("data"))?.train);
    let normalization = Normalization::measure(&train)?;
    for threads in threads {
        let config = LoaderConfig {
            batch_size: 128,
            threads,
            prefetch: 4,
            seed: 0,
            order: Order::Shuffled,
            drop_last: true,
            augment: vec![
                AugmentConfig::PadCrop(PadCropConfig { padding: 4 }),
                AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
            ],
            normalization: normalization.clone(),
        };
        let loader = Loader::new(Arc::clone(&train), config)?;
        let mut seconds = Vec::new();
        for epoch in 0..5 {
            let start = Instant::now();
            let images: usize = loader.epoch(epoch, 0).map(|batch| batch.len()).sum();
            assert_eq!(images, loader.images());
            seconds.push(start.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let rate = loader.images() as f64 / seconds[seconds.len() / 2];
        println!(
            "{threads} threads: {rate:.0} images a second (median of {} epochs)",
            seconds.len()
        );
    }
    Ok(())
}
