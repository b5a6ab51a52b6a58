//! Losses and gradients that are not finite: the run stops or the step is skipped, and
//! the previous state stays.

mod common;

use std::sync::Arc;
use std::time::Duration;

use assert_cmd::Command;
use common::tiny;
use sd_cli::{DeviceChoice, RuntimeArgs};
use sd_data::{ImageSet, Loader, LoaderConfig, Order};
use sd_models::variables;
use sd_train::experiment::Experiment;
use sd_train::training::checkpoint::{self, CheckpointTensors, Position};
use sd_train::training::{Observer, Outcome, StopSignal, Trainer};
use tch::Tensor;

/// A white pixel overflows an f32.
const OVERFLOW: &str = "data.normalize={ given = { mean = [0.0], deviation = [1e-39] } }";

/// A trainer on so many training images, black but for the `white` ones.
fn trainer(experiment: &Experiment, images: usize, white: &[usize]) -> Trainer {
    let runtime =
        RuntimeArgs { data_dir: "nowhere".into(), device: DeviceChoice::Cpu, threads: Some(1) };
    let mut trainer = Trainer::new(experiment, &runtime).unwrap();
    set_images(&mut trainer, images, white);
    trainer.position = Position::start(trainer.position.config.clone(), (&trainer.data).into());
    trainer
}

/// Replaces the trainer's training images.
fn set_images(trainer: &mut Trainer, images: usize, white: &[usize]) {
    let shape = trainer.data.train.shape();
    let mut pixels = vec![0; images * shape.values()];
    for image in white {
        pixels[image * shape.values()..(image + 1) * shape.values()].fill(255);
    }
    let labels = (0..images).map(|image| image % 4).collect();
    let names = trainer.data.train.class_names().to_vec();
    trainer.data.train = Arc::new(ImageSet::new(shape, pixels, labels, names).unwrap());
    let normalization = trainer.data.normalization.clone();
    let config = LoaderConfig {
        seed: trainer.experiment.seed,
        order: Order::Shuffled,
        drop_last: true,
        ..LoaderConfig::in_order(trainer.experiment.train.batch_size, 1, normalization)
    };
    trainer.loader = Loader::new(Arc::clone(&trainer.data.train), config).unwrap();
}

fn copies(tensors: &CheckpointTensors) -> Vec<Tensor> {
    tensors.iter().map(Tensor::copy).collect()
}

fn is_finite(tensor: &Tensor) -> bool {
    bool::try_from(tensor.isfinite().all()).unwrap()
}

#[test]
fn a_step_that_is_not_finite_stops_the_run_or_is_skipped() {
    for (non_finite, finishes) in [("stop", false), ("skip", true)] {
        let non_finite = format!("train.non_finite={non_finite}");
        let experiment = tiny(&[OVERFLOW, "train.batch_size=8", &non_finite]).unwrap();
        let mut trainer = trainer(&experiment, 32, &[5]);
        let folder = tempfile::tempdir().unwrap();
        let outcome = trainer.run(&mut Observer::new(folder.path(), StopSignal::default()));
        if finishes {
            outcome.unwrap();
            assert_eq!(trainer.position.epoch, 3);
            for (name, variable) in variables(&trainer.state.variables) {
                assert!(is_finite(&variable), "{name}");
            }
        } else {
            let error = outcome.unwrap_err().to_string();
            let expected = ["loss is ", "in step ", "learning rate 0.0", "checkpoint is kept"];
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}

#[test]
fn a_skipped_step_leaves_weights_average_and_optimiser_as_they_were() {
    let changes =
        [OVERFLOW, "train.batch_size=8", "train.non_finite=skip", "train.ema={ decay = 0.5 }"];
    let experiment = tiny(&changes).unwrap();
    let mut trainer = trainer(&experiment, 32, &[]);
    let folder = tempfile::tempdir().unwrap();
    let start = copies(&trainer.tensors());
    // An epoch of good steps, so that the optimiser has a state.
    let stop = StopSignal::install(None, Some(4)).unwrap();
    let mut observer = Observer::new(folder.path(), stop);
    assert_eq!(trainer.run(&mut observer).unwrap(), Outcome::Interrupted(130));
    let before = copies(&trainer.tensors());
    assert!(before != start, "good steps have changed nothing");

    let all: Vec<usize> = (0..32).collect();
    set_images(&mut trainer, 32, &all);
    let mut observer = Observer::new(folder.path(), StopSignal::default());
    let error = trainer.run(&mut observer).unwrap_err().to_string();
    assert!(error.contains("every step of epoch 2 was skipped"), "{error}");
    assert!(copies(&trainer.tensors()) == before, "a skipped step has changed the state");
}

/// A step of 32 of 63 images is an epoch: by this seed's order the image that overflows is left out
/// of the first, and in the second.
#[test]
fn a_loss_that_breaks_in_a_later_epoch_leaves_the_checkpoint_before() {
    let experiment = tiny(&[OVERFLOW, "train.batch_size=32", "seed=3"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut observer =
        Observer::new(folder.path(), StopSignal::default()).checkpoint_every(Duration::ZERO);
    let mut broken_run = trainer(&experiment, 63, &[5]);
    let error = broken_run.run(&mut observer).unwrap_err().to_string();
    assert!(error.contains("in step 2, ") && error.contains("checkpoint is kept"), "{error}");
    let broken = |trainer: &Trainer| trainer.tensors().iter().any(|tensor| !is_finite(tensor));
    assert!(broken(&broken_run), "the update is applied before the loss is read");

    let mut resumed = trainer(&experiment, 63, &[5]);
    let start = resumed.position.clone();
    resumed.position = checkpoint::load(folder.path(), &start, &resumed.tensors()).unwrap();
    assert_eq!((resumed.position.epoch, resumed.position.step_in_epoch), (1, 0));
    assert!(!broken(&resumed));
    set_images(&mut resumed, 63, &[]);
    assert_eq!(resumed.run(&mut observer).unwrap(), Outcome::Finished);
    assert!(resumed.position.epoch == 3 && !broken(&resumed));
}

#[test]
fn a_run_that_only_skips_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let changes = [
        "objective.self_distillation.lambda=1e300",
        "train.non_finite=skip",
        // 24 steps in an epoch.
        "train.batch_size=4",
    ];
    let text = tiny(&changes).unwrap().to_toml().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), text).unwrap();
    let train = |arguments: &[&str], code: i32, expected: &[&str]| {
        let mut program = Command::cargo_bin("sd-train").unwrap();
        let line = ["train", "tiny.toml", "--device", "cpu", "--threads", "1"];
        let run = program.current_dir(folder.path()).args(line).args(arguments).assert().code(code);
        let stderr = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        for expected in expected {
            assert!(stderr.contains(expected), "{stderr}");
        }
    };
    let skipped = "hint loss is inf in step 1,";
    train(&["--out", "run"], 1, &[skipped, "the step is skipped", "up to step 16: training"]);
    assert!(!folder.path().join("run/last.ckpt.safetensors").exists());
    train(&["--out", "parts", "--max-steps", "10"], 130, &[skipped]);
    train(&["--out", "parts", "--resume"], 1, &["up to step 16: training"]);
}
