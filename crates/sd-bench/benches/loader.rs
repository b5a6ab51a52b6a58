//! An epoch of the loader, by augmentation.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sd_data::{
    AugmentConfig, AutoAugmentConfig, AutoAugmentPolicy, DatasetConfig, FlipConfig, Loader,
    LoaderConfig, Normalization, Order, PadCropConfig, RandomErasingConfig, SyntheticConfig,
};

fn epoch(criterion: &mut Criterion) {
    let dataset = DatasetConfig::Synthetic(SyntheticConfig {
        classes: 100,
        train: 10_000,
        test: 100,
        channels: 3,
        height: 32,
        width: 32,
        seed: 0,
    });
    let images = dataset.load(Path::new("data")).expect("synthetic images need no file").train;
    let images = Arc::new(images);
    let normalization = Normalization::measure(&images).expect("the images vary");
    let crop = AugmentConfig::PadCrop(PadCropConfig { padding: 4 });
    let flip = AugmentConfig::Flip(FlipConfig { probability: 0.5 });
    let policy = AutoAugmentConfig { policy: AutoAugmentPolicy::Cifar10, fill: 0 };
    let search = AugmentConfig::AutoAugment(policy);
    let erase = AugmentConfig::RandomErasing(RandomErasingConfig::default());
    let mut group = criterion.benchmark_group("loader");
    for (name, augment) in [
        ("normalize", vec![]),
        ("crop_flip", vec![crop.clone(), flip.clone()]),
        ("auto_augment_erasing", vec![crop, flip, search, erase]),
    ] {
        let config = LoaderConfig {
            batch_size: 128,
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            prefetch: 4,
            seed: 0,
            order: Order::Shuffled,
            drop_last: true,
            partners: false,
            augment,
            normalization: normalization.clone(),
        };
        let loader = Loader::new(Arc::clone(&images), config).expect("the configuration is valid");
        group.throughput(Throughput::Elements(loader.images() as u64));
        let mut epoch = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                epoch += 1;
                loader.epoch(epoch, 0).map(|batch| batch.len()).sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = epoch
}
criterion_main!(benches);
