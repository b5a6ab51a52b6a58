//! The same seed, the same bits: twice in a row, and with any number of the loader's threads.

mod common;

use common::tiny;
use sd_cli::{DeviceChoice, RuntimeArgs};
use sd_models::{TensorFile, variables};
use sd_train::training::{Observer, StopSignal, Trainer};

/// With all that draws random numbers: the order, the augmentation, dropout, mixed images.
const RANDOM: &[&str] = &[
    "data.validation={ fraction = 0.25, seed = 0 }",
    "data.augment=[{ pad_crop = { padding = 2 } }, { flip = {} }, { auto_augment = { policy = \"cifar10\" } }, \
     { random_erasing = {} }]",
    "model.backbone.vgg.head=classic",
    "mix={ cut_mix = { alpha = 1.0, probability = 0.5 } }",
];

/// The bytes of the weights, and the record of each epoch without its times.
fn trained(loader_threads: u16) -> (Vec<u8>, Vec<String>) {
    let experiment = tiny(RANDOM).unwrap();
    let runtime = RuntimeArgs {
        data_dir: "nowhere".into(),
        device: DeviceChoice::Cpu,
        threads: Some(loader_threads),
    };
    let mut trainer = Trainer::new(&experiment, &runtime).unwrap();
    // The loader's threads alone: with other numbers of libtorch's, sums have another order.
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().unwrap();
    let stop = StopSignal::install(None, None).unwrap();
    trainer.run(&mut Observer::new(folder.path(), stop)).unwrap();

    let tensors = variables(&trainer.state.variables);
    let file = TensorFile { tensors, metadata: Default::default() };
    let (epochs, _) =
        sd_report::run_folder::read_epochs(folder.path().join("epochs.jsonl")).unwrap();
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
