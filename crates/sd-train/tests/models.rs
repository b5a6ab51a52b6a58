//! The trained networks in the repository match their records.

mod program;

use std::fs;
use std::path::Path;

use program::printed;
use sd_cli::WeightsChoice;
use sd_report::Run;
use sd_train::evaluation::Evaluation;
use sd_train::evaluation::TrainedModel;
use tch::Device;

/// Tolerance of top-1: another processor may use another number format.
const TOLERANCE: f64 = 0.003;

#[test]
fn each_model_has_the_exits_costs_and_accuracy_of_its_summary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut models = 0;
    for entry in fs::read_dir(root.join("models")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        models += 1;
        let summary = Run::open(&folder).unwrap().summary;
        let TrainedModel { experiment, network, .. } =
            TrainedModel::open(&folder, WeightsChoice::Last, Device::Cpu).unwrap();
        let names: Vec<&str> = summary.exits.iter().map(|exit| exit.name.as_str()).collect();
        assert_eq!(network.exit_names(), names, "{}", folder.display());
        for (exit, cost) in summary.exits.iter().zip(network.cost_of_exits().unwrap()) {
            assert_eq!((exit.params, exit.macs), (cost.params, cost.macs), "{}", exit.name);
        }

        let images = root.join("data");
        let names = ["cifar-100-binary", "cifar-100-binary.tar.gz"];
        if !names.iter().any(|name| images.join(name).exists()) {
            eprintln!("{}: CIFAR-100 is not in data/, so not scored", folder.display());
            continue;
        }
        let data = experiment.data.open(&images).unwrap();
        let test = Evaluation::new(data.test.unwrap(), data.normalization, 256, 2, Device::Cpu);
        let scores = test.unwrap().scores(&network).unwrap();
        for (exit, scored) in summary.exits.iter().zip(scores.exits) {
            let recorded = exit.test_top1.unwrap();
            let difference = (recorded - scored.top1).abs();
            assert!(difference <= TOLERANCE, "{}: {}, recorded {recorded}", exit.name, scored.top1);
        }
    }
    assert!(models > 0);
}

#[test]
fn each_model_is_exported_in_8_bits_without_its_data_set() {
    let scratch = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")).unwrap() {
        let folder = entry.unwrap().path().canonicalize().unwrap();
        for form in ["qdq", "convinteger"].iter().filter(|_| folder.is_dir()) {
            let run = folder.display();
            printed(scratch.path(), &format!("export {run} --int8 {form} --out {form}.onnx"));
            assert!(fs::metadata(scratch.path().join(format!("{form}.onnx"))).unwrap().len() > 0);
        }
    }
}
