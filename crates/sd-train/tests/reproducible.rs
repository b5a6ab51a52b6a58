//! The same seed, the same bits: twice in a row, and with any number of the loader's threads.

mod common;

use std::time::Duration;

use common::tiny;
use sd_models::{TensorFile, variables};
use sd_train::checkpoint::Position;
use sd_train::cli::{DeviceChoice, Place};
use sd_train::observe::Observer;
use sd_train::setup::Setup;
use sd_train::stop::Stop;

/// With all that draws random numbers: the order, the augmentation, dropout, mixed images.
const RANDOM: &[&str] = &[
    "data.validation={ fraction = 0.25, seed = 0 }",
    "data.augment=[{ pad_crop = { padding = 2 } }, { flip = {} }, { auto_augment = { policy = \"cifar10\" } }, \
     { random_erasing = {} }]",
    "model.backbone.vgg.head=classic",
    "mix={ cut_mix = { alpha = 1.0, probability = 0.5 } }",
];

/// The bytes of the weights, and what each epoch said of itself without its times.
fn trained(loader_threads: usize) -> (Vec<u8>, Vec<String>) {
    let experiment = tiny(RANDOM).unwrap();
    let place = Place { data_dir: "nowhere".into(), device: DeviceChoice::Cpu, threads: Some(1) };
    let mut setup = Setup::new(&experiment, &place).unwrap();
    setup.threads = loader_threads;
    let mut trainer = setup.trainer().unwrap();
    let config = experiment.to_toml().unwrap();
    let mut position = Position::start(config, (&setup.data).into());
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::listen(None, None).unwrap();
    let mut observer = Observer::new(folder.path(), stop, Duration::MAX);
    trainer.run(&mut position, &mut observer).unwrap();

    let file = TensorFile { tensors: variables(&setup.variables), metadata: Default::default() };
    let (epochs, _) =
        sd_bench::run_folder::read_epochs(folder.path().join("epochs.jsonl")).unwrap();
    let scores = epochs.iter().map(|epoch| {
        format!("{} {:?} {:?} {:?}", epoch.loss, epoch.terms, epoch.train, epoch.valid)
    });
    (file.to_bytes().unwrap(), scores.collect())
}

#[test]
fn a_seed_gives_the_same_bits_again_and_with_any_number_of_loader_threads() {
    let (weights, epochs) = trained(1);
    assert_eq!(epochs.len(), 3);
    for threads in [1, 2, 3, 8] {
        let (again, epochs_again) = trained(threads);
        assert_eq!(epochs_again, epochs, "{threads} threads of the loader");
        assert!(again == weights, "{threads} threads of the loader: other weights");
    }
}
