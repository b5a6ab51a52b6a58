//! What a run does besides plain steps: clipping, accumulation, averages, early stopping,
//! and the checks before a run.

mod common;

use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use clap::Parser;
use common::tiny;
use sd_cli::{Cli, Command as Cmd, RuntimeArgs};
use sd_models::TensorFile;
use sd_report::{Run, Status};
use sd_train::data::{Targets, TrainBatch};
use sd_train::experiment::Experiment;
use sd_train::training::checkpoint::Best;
use sd_train::training::{TrainState, Trainer};
use tch::{Device, Kind, Tensor};

const VALIDATED: &[&str] = &["data.validation={ fraction = 0.25, seed = 0 }"];

/// Runs `sd-train` on the small experiment with these changes.
fn sd_train(folder: &Path, changes: &[&str], arguments: &[&str]) -> Assert {
    let config = folder.join("tiny.toml");
    std::fs::write(&config, tiny(changes).unwrap().to_toml().unwrap()).unwrap();
    let (command, rest) = arguments.split_first().unwrap();
    let mut program = Command::cargo_bin("sd-train").unwrap();
    program.current_dir(folder).args([command, "tiny.toml", "--device", "cpu", "--threads", "1"]);
    program.args(rest).assert()
}

fn stderr(run: &Assert) -> String {
    String::from_utf8_lossy(&run.get_output().stderr).into_owned()
}

/// The CPU, one thread.
fn runtime() -> RuntimeArgs {
    let line = ["sd-train", "train", "--device", "cpu", "--threads", "1"];
    match Cli::parse_from(line).command {
        Cmd::Train(args) => args.runtime,
        _ => unreachable!("the line says train"),
    }
}

#[test]
fn a_recipe_with_every_stateful_part_resumes_to_the_same_bits() {
    let adamw = tiny(VALIDATED).unwrap().to_toml().unwrap();
    assert!(adamw.contains("sgd"), "the recipe's optimiser is replaced below");
    let folder = tempfile::tempdir().unwrap();
    let text = adamw.replace("[train.sgd]\nmomentum = 0.9\nnesterov = true\n", "[train.adamw]\n");
    let experiment = Experiment::parse(
        &text,
        &[
            "train.clip=0.5".to_owned(),
            "train.accumulate=2".to_owned(),
            "train.ema={ decay = 0.8 }".to_owned(),
            "train.non_finite=skip".to_owned(),
        ],
    )
    .unwrap();
    std::fs::write(folder.path().join("all.toml"), experiment.to_toml().unwrap()).unwrap();
    let train = |arguments: &[&str]| {
        let mut program = Command::cargo_bin("sd-train").unwrap();
        let common = ["train", "all.toml", "--device", "cpu", "--threads", "1"];
        program.current_dir(folder.path()).args(common).args(arguments).assert()
    };
    train(&["--out", "whole"]).success();
    // 72 training images make 2 steps of 2 batches of 16: within the second epoch, and after it.
    train(&["--out", "parts", "--max-steps", "3"]).code(130);
    train(&["--out", "parts", "--resume", "--max-steps", "4"]).code(130);
    train(&["--out", "parts", "--resume"]).success();
    let read = |run: &str, file: &str| TensorFile::read(&folder.path().join(run).join(file));
    let bytes = |run: &str, file: &str| std::fs::read(folder.path().join(run).join(file)).unwrap();
    for file in ["model.safetensors", "best.safetensors"] {
        assert!(bytes("whole", file) == bytes("parts", file), "{file}");
    }

    let run = Run::open(folder.path().join("parts")).unwrap();
    assert_eq!(run.summary.steps, 6);
    let table = std::fs::read_to_string(run.folder.join("epochs.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 3);
    let events = std::fs::read_dir(run.folder.join("tb")).unwrap();
    assert_eq!(events.count(), 3, "a file for each process");
    let rates: Vec<f64> = run.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    let rate = |step| experiment.train.schedule.rate(step, 2, 3);
    assert_eq!(rates, [rate(1), rate(3), rate(5)]);

    // The average is what is deployed; the weights stay in the checkpoint.
    let model = read("parts", "model.safetensors").unwrap();
    let checkpoint = read("parts", "last.ckpt.safetensors").unwrap();
    let same = |group: &str| {
        let mut tensors = model.tensors.iter();
        tensors.all(|(name, tensor)| *tensor == checkpoint.tensors[&format!("{group}.{name}")])
    };
    assert!(same("average") && !same("weights"));
}

#[test]
fn accumulated_gradients_are_those_of_one_large_batch() {
    tch::set_num_threads(1);
    let experiment = tiny::<&str>(&[]).unwrap();
    let mut state = TrainState::new(&experiment, Device::Cpu).unwrap();
    // The same images with other labels: batch norm sees no difference between one batch and two.
    let images = Tensor::arange(8 * 32 * 32, (Kind::Float, Device::Cpu)).view([8, 1, 32, 32]);
    let images = (images * 0.37).sin();
    let (one, other) = ([0i64, 1, 2, 3, 0, 1, 2, 3], [1i64, 1, 0, 3, 2, 2, 2, 0]);
    let batch = |images: &Tensor, labels: &[i64]| TrainBatch {
        images: sd_layers::channels_last(images),
        partners: None,
        targets: Targets::new(Tensor::from_slice(labels)),
        epoch: 0,
    };
    // With a rate of zero the weights stay.
    let mut gradients = |batches: Vec<TrainBatch>| {
        state.step(batches.into_iter().map(Ok), 1, 0.0, &mut ()).unwrap();
        let variables = state.variables.trainable_variables().into_iter();
        variables.map(|value| value.grad().copy()).collect::<Vec<_>>()
    };
    let two = gradients(vec![batch(&images, &one), batch(&images, &other)]);
    let twice = Tensor::cat(&[&images, &images], 0);
    let large = gradients(vec![batch(&twice, &[one, other].concat())]);
    let largest = |tensors: &[Tensor]| {
        tensors.iter().map(|tensor| tensor.abs().max().double_value(&[])).fold(0.0, f64::max)
    };
    let differences: Vec<Tensor> = two.iter().zip(&large).map(|(two, large)| two - large).collect();
    assert!(largest(&differences) < 1e-4 * largest(&large), "{}", largest(&differences));
}

#[test]
fn a_value_out_of_its_range_is_named_with_the_range() {
    for (change, expected) in [
        ("train.adamw={ weight_decay = 0.1 }", "train has `sgd` and `adamw`, expected one"),
        ("train.sgd.momentum=1.0", "train.sgd.momentum is 1, expected 0 to below 1"),
        ("train.clip=0.0", "train.clip is 0, expected a number above 0"),
        ("train.accumulate=0", "train.accumulate is 0, expected at least 1"),
        ("train.ema={ decay = 1.0 }", "train.ema.decay is 1, expected above 0 and below 1"),
        ("train.early_stopping={ patience = 0 }", "patience is 0, expected at least 1"),
        ("train.non_finite=go_on", "expected `stop` or `skip`"),
    ] {
        let error = tiny(&[change]).unwrap_err().to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
    let adamw = |values: &str| {
        let text = tiny::<&str>(&[]).unwrap().to_toml().unwrap();
        let (head, rest) = text.split_once("[train.sgd]").unwrap();
        let (_, rest) = rest.split_once("\n[").unwrap();
        let text = format!("{head}[{rest}\n[train.adamw]\n{values}");
        Experiment::parse(&text, &[]).map_err(|error| error.to_string())
    };
    let (betas, eps) = (adamw("weight_decay = 0\nbetas = [0.9, 1.0]"), "weight_decay = 0\neps = 0");
    assert!(betas.unwrap_err().contains("train.adamw.betas is"));
    assert!(adamw(eps).unwrap_err().contains("train.adamw.eps is 0, expected a number above 0"));
    let written = adamw("weight_decay = 0.05").unwrap().train.optimiser.adamw.unwrap();
    assert_eq!((written.betas, written.eps), ([0.9, 0.999], 1e-8));
}

/// An evaluation keeps the maps of one layer, a training step those of all.
#[test]
fn an_evaluation_takes_at_most_two_batches_of_training_at_once() {
    let _no_grad = tch::no_grad_guard();
    let experiment = tiny(&["train.batch_size=8"]).unwrap();
    let trainer = Trainer::new(&experiment, &runtime()).unwrap();
    let images = trainer.evaluation(&trainer.data.train).unwrap();
    let (_, labels) = images.outputs(trainer.deployed().network).next().unwrap().unwrap();
    assert_eq!(labels.size(), [16]);
    assert_eq!(tiny(&["train.batch_size=1024"]).unwrap().evaluation_batch(), 256);
}

/// A decay of 0.9999 alone would keep the initial weights through a run of 18 steps.
#[test]
fn a_moving_average_leaves_the_initial_weights_early() {
    let experiment = tiny(&["train.ema={ decay = 0.9999 }"]).unwrap();
    let mut trainer = Trainer::new(&experiment, &runtime()).unwrap();
    let weight = |variables: &tch::nn::VarStore| {
        let mut all: Vec<_> = variables.variables().into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.into_iter().find(|(name, _)| name.ends_with("conv.weight")).unwrap().1.copy()
    };
    let before = weight(&trainer.state.variables);
    trainer.step(&mut trainer.batches(), 0.1, &mut ()).unwrap();
    let after = weight(&trainer.state.variables);
    let average = weight(trainer.state.average.as_ref().unwrap().variables());
    // The share of the first update is 1 − 2/11.
    let expected = &before * (2.0 / 11.0) + &after * (9.0 / 11.0);
    assert!((&before - &after).abs().max().double_value(&[]) > 1e-4);
    assert!((average - expected).abs().max().double_value(&[]) < 1e-6);

    let ema = experiment.train.ema.unwrap();
    let initial: f64 = (1..=18).map(|number| ema.decay_at(number)).product();
    assert!(initial < 1e-5, "{initial}");
    assert_eq!(ema.decay_at(1_000_000), 0.9999);
}

#[test]
fn a_batch_more_than_an_epoch_has_is_refused() {
    let experiment = tiny(&["train.accumulate=7"]).unwrap();
    let error = Trainer::new(&experiment, &runtime()).unwrap_err().to_string();
    assert!(error.contains("accumulate is 7, expected at most the 6 batches"), "{error}");
    let experiment = tiny(&["train.batch_size=97"]).unwrap();
    let error = Trainer::new(&experiment, &runtime()).unwrap_err().to_string();
    assert_eq!(error, "train.batch_size is 97, expected at most the 96 training images");
}

#[test]
fn a_run_whose_validation_no_longer_improves_ends_as_finished() {
    let folder = tempfile::tempdir().unwrap();
    let changes = [VALIDATED, &["train.early_stopping={ patience = 2 }", "train.epochs=60"]];
    let changes = changes.concat();
    let end = sd_train(folder.path(), &changes, &["train", "--out", "run"]).success();
    assert!(stderr(&end).contains("stopped early"), "{}", stderr(&end));
    let ended = || Run::open(folder.path().join("run")).unwrap();
    let run = ended();
    assert_eq!((run.summary.status, run.summary.stopped_early), (Status::Finished, true));
    assert_eq!(run.summary.epochs, run.summary.best.as_ref().unwrap().epoch + 2);
    assert!(run.summary.epochs < 60);
    sd_train(folder.path(), &changes, &["train", "--out", "run", "--resume"]).success();
    assert_eq!(ended().summary, run.summary);

    let without = ["train.early_stopping={ patience = 2 }"];
    let refused = sd_train(folder.path(), &without, &["train", "--out", "none"]).code(1);
    assert!(stderr(&refused).contains("requires a validation split"), "{}", stderr(&refused));
}

#[test]
fn a_run_that_comes_to_its_last_epoch_did_not_stop_early() {
    let patience = "train.early_stopping={ patience = 2 }";
    let experiment = tiny(&[VALIDATED, &[patience]].concat()).unwrap();
    let mut trainer = Trainer::new(&experiment, &runtime()).unwrap();
    let mut after = |epoch: u64, best: u64| {
        trainer.position.epoch = epoch;
        trainer.position.best = Some(Best { epoch: best, valid_top1: 0.5, valid_loss: None });
        trainer.stops_early()
    };
    assert!(!after(1, 1) && !after(2, 1));
    assert!(after(2, 0));
    assert!(!after(3, 1));
}

#[test]
fn a_dry_run_describes_the_run_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = sd_train(folder.path(), VALIDATED, &["train", "--dry-run", "--out", "run"]);
    let output = run.success().get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    for expected in [
        "72 training, 24 validation, 32 test",
        "3 epochs of 4 steps of 16 images",
        "gradient norm",
        "weights, gradients and optimiser",
        "peak of the process",
        "of an evaluation",
        "MACs",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in: {text}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the configuration alone: {left:?}");
}

#[test]
fn a_few_images_are_overfitted() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["train", "--overfit", "8", "--out", "run", "-s", "train.epochs=60"];
    sd_train(folder.path(), VALIDATED, &arguments).success();
    let run = Run::open(folder.path().join("run")).unwrap();
    assert_eq!((run.summary.name.as_str(), run.summary.steps), ("tiny-overfit8", 60));
    assert_eq!(run.summary.exits.last().unwrap().test_top1, Some(1.0));
    let refused = sd_train(folder.path(), VALIDATED, &["train", "--overfit", "73"]).code(1);
    assert!(stderr(&refused).contains("train.overfit is 73, expected 2 to the 72 training images"));
}

#[test]
fn the_range_test_writes_its_figure_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["lr-range", "--out", "range", "--steps", "20", "--to", "1e4"];
    let run = sd_train(folder.path(), &[], &arguments).success();
    let text = String::from_utf8_lossy(&run.get_output().stdout).into_owned();
    assert!(text.contains("steepest fall at") && text.contains("range/lr-range.svg"), "{text}");
    let read = |file| std::fs::read_to_string(folder.path().join("range").join(file)).unwrap();
    assert!(read("lr-range.svg").starts_with("<svg"));
    let found: serde_json::Value = serde_json::from_str(&read("lr-range.json")).unwrap();
    let points = found["points"].as_array().unwrap();
    let rates: Vec<f64> = points.iter().map(|point| point["rate"].as_f64().unwrap()).collect();
    assert!((rates[0] - 1e-5).abs() < 1e-18 && rates.is_sorted() && rates.len() > 5);
    assert_eq!(read("lr-range.csv").lines().count(), rates.len() + 1);
    let refused = sd_train(folder.path(), &[], &["lr-range", "--from", "2", "--to", "1"]).code(1);
    assert!(stderr(&refused).contains("expected 0 < from < to"), "{}", stderr(&refused));
}
