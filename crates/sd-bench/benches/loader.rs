//! An epoch of the loader, by augmentation.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sd_bench::pipelines;
use sd_data::{Loader, LoaderConfig, Order};

fn epoch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loader");
    for (name, pipeline) in pipelines().expect("the pipelines are valid") {
        let data = pipeline.open(Path::new("data")).expect("synthetic images need no file");
        let config = LoaderConfig {
            batch_size: 128,
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            prefetch: 4,
            seed: 0,
            order: Order::Shuffled,
            drop_last: true,
            partners: false,
            augment: pipeline.augment,
            normalization: data.normalization,
        };
        let loader = Loader::new(data.train, config).expect("the configuration is valid");
        group.throughput(Throughput::Elements(loader.images() as u64));
        let mut epoch = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                epoch += 1;
                loader
                    .epoch(epoch, 0)
                    .map(|batch| batch.expect("readable images").len())
                    .sum::<usize>()
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
