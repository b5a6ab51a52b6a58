use super::*;
use crate::source::Memory;
use crate::{
    AutoAugmentConfig, AutoAugmentPolicy, ColorJitterConfig, CutoutConfig, DataConfig, FlipConfig,
    PadCropConfig, RandomErasingConfig,
};
use std::collections::HashSet;
use std::path::Path;

/// 50 images of 3×6×5. With a batch size of 7: eight batches, the last of one image.
fn images() -> Arc<ImageSet> {
    let config: DataConfig = toml::from_str(
        "dataset = { synthetic = { classes = 4, train = 50, test = 4, channels = 3, height = 6, width = 5, seed = 0 } }",
    )
    .unwrap();
    config.open(Path::new("nowhere")).unwrap().train
}

fn config() -> LoaderConfig {
    LoaderConfig {
        batch_size: 7,
        threads: 2,
        prefetch: 2,
        seed: 11,
        order: Order::Shuffled,
        drop_last: false,
        partners: false,
        augment: vec![
            AugmentConfig::PadCrop(PadCropConfig { padding: 2 }),
            AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
        ],
        normalization: Normalization::measure(&images()).unwrap(),
    }
}

fn loader(change: impl FnOnce(&mut LoaderConfig)) -> Loader {
    let mut config = config();
    change(&mut config);
    Loader::new(images(), config).unwrap()
}

fn bits(batches: impl Iterator<Item = Result<Batch>>) -> Vec<(Vec<u32>, Vec<i64>)> {
    batches
        .map(Result::unwrap)
        .map(|b| (b.pixels.iter().map(|v| v.to_bits()).collect(), b.labels))
        .collect()
}

#[test]
fn batches_do_not_depend_on_threads_or_prefetch() {
    // All kinds: moving pixels, changing values, erasing.
    let more = [
        AugmentConfig::AutoAugment(AutoAugmentConfig {
            policy: AutoAugmentPolicy::Cifar10,
            fill: 0,
        }),
        AugmentConfig::Flip(FlipConfig { probability: 0.5 }),
        AugmentConfig::ColorJitter(ColorJitterConfig {
            brightness: 0.0,
            contrast: 0.5,
            saturation: 0.0,
            hue: 0.0,
        }),
        AugmentConfig::RandomErasing(RandomErasingConfig::default()),
        AugmentConfig::Cutout(CutoutConfig { side: 2 }),
    ];
    let loader = |threads, prefetch| {
        loader(|config| {
            config.augment.extend(more.clone());
            config.threads = threads;
            config.prefetch = prefetch;
        })
    };
    let expected = bits(loader(1, 2).epoch(3, 0));
    assert_eq!(expected.len(), 8);
    for (threads, prefetch) in [(2, 0), (3, 1), (8, 20)] {
        let loader = loader(threads, prefetch);
        assert_eq!(bits(loader.epoch(3, 0)), expected, "{threads} threads, {prefetch} ahead");
    }
}

#[test]
fn an_epoch_resumes_at_any_batch() {
    let loader = loader(|_| {});
    let expected = bits(loader.epoch(5, 0));
    for first in 0..=9 {
        let rest = loader.epoch(5, first);
        assert_eq!(rest.len(), 8_usize.saturating_sub(first));
        assert_eq!(bits(rest), expected[first.min(8)..]);
    }
}

#[test]
fn the_shards_of_a_batch_are_the_batch() {
    let make = || loader(|config| config.partners = true);
    let whole: Vec<Batch> = make().epoch(3, 1).collect::<Result<_>>().unwrap();
    for count in [2, 3] {
        let shards = (0..count).map(|index| make().shard(Shard::new(index, count)).epoch(3, 1));
        let mut shards: Vec<EpochBatches> = shards.collect();
        for batch in &whole {
            let parts = shards.iter_mut().filter_map(Iterator::next);
            let parts: Vec<Batch> = parts.collect::<Result<_>>().unwrap();
            let of = |pixels: fn(&Batch) -> &BatchPixels| {
                parts.iter().flat_map(|part| pixels(part).to_vec()).collect::<Vec<f32>>()
            };
            assert!(of(|batch| &batch.pixels) == batch.pixels.to_vec());
            let partners = |batch: &Batch| batch.partners.as_ref().unwrap().to_vec();
            assert!(parts.iter().flat_map(partners).collect::<Vec<f32>>() == partners(batch));
            assert!(parts.iter().flat_map(|part| &part.labels).eq(&batch.labels));
        }
        // The last batch is of one image.
        let left: Vec<usize> = shards.iter().map(ExactSizeIterator::len).collect();
        assert!(left.iter().all(|&left| left == 0), "{left:?}");
        assert!(shards.iter_mut().all(|shard| shard.next().is_none()));
    }
}

#[test]
fn seed_and_epoch_change_order_and_augmentation() {
    let of = |seed, epoch| bits(loader(|config| config.seed = seed).epoch(epoch, 0));
    assert_ne!(of(1, 0), of(1, 1));
    assert_ne!(of(1, 0), of(2, 0));
    assert_eq!(of(2, 7), of(2, 7));
}

#[test]
fn the_memory_of_batches_is_reused() {
    let loader = loader(|_| {});
    assert_eq!(loader.work.buffers.acquire(0).capacity(), 0);
    assert_eq!(loader.epoch(0, 0).count(), 8);
    assert!(loader.work.buffers.acquire(0).capacity() >= 90);
}

/// The same image is augmented alike at any position of the epoch.
#[test]
fn augmentation_depends_on_the_sample() {
    let collect = |order| {
        let loader = loader(|config| config.order = order);
        let batches: Vec<Batch> = loader.epoch(2, 0).collect::<Result<_>>().unwrap();
        batches
            .iter()
            .flat_map(|batch| batch.pixels.chunks_exact(batch.shape.values()))
            .map(|image| image.iter().map(|value| value.to_bits()).collect())
            .collect::<HashSet<Vec<u32>>>()
    };
    let shuffled = collect(Order::Shuffled);
    assert_eq!(shuffled.len(), 50);
    assert_eq!(shuffled, collect(Order::Sequential));
}

#[test]
fn partners_are_of_the_same_class_and_leave_the_batch_unchanged() {
    let all = |threads| {
        let paired = loader(|config| {
            config.partners = true;
            config.augment.clear();
            config.threads = threads;
        });
        paired.epoch(1, 0).collect::<Result<Vec<Batch>>>().unwrap()
    };
    let batches = all(2);
    assert_eq!(batches, all(1));
    let alone = loader(|config| config.augment.clear());
    let alone: Vec<Batch> = alone.epoch(1, 0).collect::<Result<_>>().unwrap();
    let images = loader(|config| {
        config.augment.clear();
        config.order = Order::Sequential;
        config.batch_size = 50;
    });
    let images = images.epoch(0, 0).next().unwrap().unwrap();
    for (batch, alone) in batches.iter().zip(alone) {
        assert!(batch.pixels == alone.pixels && batch.labels == alone.labels);
        assert!(alone.partners.is_none());
        let partners = batch.partners.as_ref().unwrap().chunks_exact(90);
        for ((image, partner), &label) in
            batch.pixels.chunks_exact(90).zip(partners).zip(&batch.labels)
        {
            assert_ne!(image, partner);
            let found = images.pixels.chunks_exact(90).position(|other| other == partner).unwrap();
            assert_eq!(images.labels[found], label);
        }
    }
}

#[test]
fn without_augmentation_a_batch_is_the_normalised_images() {
    let loader = loader(|config| {
        config.order = Order::Sequential;
        config.augment.clear();
    });
    let images = images();
    let Normalization { mean, deviation } = config().normalization;
    let mut index = 0;
    for batch in loader.epoch(0, 0) {
        let batch = batch.unwrap();
        assert_eq!(batch.pixels.len(), batch.len() * batch.shape.values());
        for (image, &label) in batch.pixels.chunks_exact(90).zip(&batch.labels) {
            assert_eq!(label, images.label(index) as i64);
            for (position, (value, &byte)) in
                image.iter().zip(&*images.image(index).unwrap()).enumerate()
            {
                let (mean, deviation) = (mean[position % 3], deviation[position % 3]);
                assert_eq!(*value, (f32::from(byte) / 255.0 - mean) / deviation);
            }
            index += 1;
        }
    }
    assert_eq!(index, 50);
}

#[test]
fn an_epoch_has_every_image_once_or_only_full_batches() {
    let all = loader(|_| {});
    assert_eq!((all.batches(), all.images()), (8, 50));
    let mut labels: Vec<i64> = all.epoch(0, 0).flat_map(|batch| batch.unwrap().labels).collect();
    labels.sort_unstable();
    let mut expected: Vec<i64> = images().labels().iter().map(|&label| label as i64).collect();
    expected.sort_unstable();
    assert_eq!(labels, expected);

    let full = loader(|config| config.drop_last = true);
    assert_eq!((full.batches(), full.images()), (7, 49));
    assert!(full.epoch(0, 0).all(|batch| batch.unwrap().len() == 7));
    assert_eq!(full.epoch(0, 0).count(), 7);
}

#[test]
fn dropping_an_epoch_early_joins_its_producer() {
    let loader = loader(|config| {
        config.batch_size = 1;
        config.prefetch = 1;
    });
    for taken in 0..4 {
        let mut epoch = loader.epoch(0, 0);
        assert_eq!(epoch.by_ref().take(taken).count(), taken);
        drop(epoch);
        // The producer held the only other reference.
        assert_eq!(Arc::strong_count(&loader.work), 1);
    }
}

#[test]
fn a_panic_in_a_worker_reaches_the_caller() {
    // Fewer pixels than labels, which the constructor would reject.
    let images = images();
    let memory = Memory::new(images.shape(), vec![0; 20 * 90], Vec::new());
    let (labels, names) = (images.labels().to_vec(), images.class_names().to_vec());
    let broken = ImageSet::of_source(images.shape(), Arc::new(memory), labels, names).unwrap();
    let config = LoaderConfig { order: Order::Sequential, ..config() };
    let loader = Loader::new(Arc::new(broken), config).unwrap();
    let mut epoch = loader.epoch(0, 0);
    assert_eq!(epoch.by_ref().take(2).count(), 2);
    let rest = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| epoch.by_ref().count()));
    assert!(rest.is_err());
    assert!(epoch.next().is_none());
}

#[test]
fn invalid_configurations_are_rejected() {
    let message = |change: fn(&mut LoaderConfig)| {
        let mut config = config();
        change(&mut config);
        Loader::new(images(), config).unwrap_err().to_string()
    };
    assert_eq!(message(|c| c.batch_size = 0), "`batch_size` is 0, expected at least 1");
    assert_eq!(message(|c| c.threads = 0), "`threads` is 0, expected at least 1");
    let dropped = message(|c| {
        c.batch_size = 51;
        c.drop_last = true;
    });
    assert!(dropped.contains("`batch_size` is 51, expected at most 50"), "{dropped}");
    let mean = message(|c| c.normalization.mean = vec![0.5]);
    assert!(mean.contains("`normalization.mean` is [0.5]"), "{mean}");
    let padding =
        message(|c| c.augment = vec![AugmentConfig::PadCrop(PadCropConfig { padding: 5 })]);
    assert!(padding.contains("pad_crop.padding` is 5"), "{padding}");
    let none = Loader::new(Arc::new(images().select(&[])), config()).unwrap_err().to_string();
    assert!(none.contains("no images"), "{none}");
}
