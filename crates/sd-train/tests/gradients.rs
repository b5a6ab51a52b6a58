//! Every parameter of every configuration learns from that configuration's own objective.

use std::path::{Path, PathBuf};

use sd_layers::Precision;
use sd_models::{MultiExit, variables};
use sd_train::data::Targets;
use sd_train::experiment::Experiment;
use tch::{Device, Kind, Tensor, nn};

/// The experiments in `configs/`; sweeps are lists of them.
fn configurations() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("sweeps") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_parameter_of_every_configuration_receives_a_gradient() {
    let files = configurations();
    assert!(!files.is_empty());
    for path in files {
        let name = path.display();
        let experiment = Experiment::read(&path, &[], None).unwrap();
        let task = experiment.task();
        tch::manual_seed(0);
        let vs = nn::VarStore::new(Device::Cpu);
        let network =
            MultiExit::build(&vs.root(), &experiment.model, task, Precision::F32).unwrap();
        let shape = [4, task.input.channels, task.input.height, task.input.width];
        let images = Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let labels = Tensor::randint(task.classes, [4], (Kind::Int64, Device::Cpu));
        let outputs = network.forward_exits(&images, true);
        // Some logits to compare with, for the objectives that do.
        let teacher_logits = Some(outputs.deepest.logits.detach().flip([0]));
        let targets = Targets { teacher_logits, ..Targets::new(labels) };
        experiment.objective.get().loss(&outputs, &targets).total().backward();
        for (variable, value) in variables(&vs) {
            if value.requires_grad() {
                let gradient = value.grad();
                assert!(gradient.defined(), "{name}: {variable} has no gradient");
                let largest = gradient.abs().max().double_value(&[]);
                assert!(largest > 0.0, "{name}: the gradient of {variable} is {largest}");
            }
        }
    }
}
