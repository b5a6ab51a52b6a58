//! Untrusted configurations and checkpoints.

mod common;

use std::fs;
use std::path::Path;

use common::tiny;
use proptest::prelude::*;
use proptest::sample::Index;
use sd_layers::Precision;
use sd_models::{MultiExit, TensorFile};
use sd_train::experiment::Experiment;
use sd_train::experiment::fingerprint::Fingerprint;
use sd_train::training::checkpoint::{self, CheckpointTensors, Position};
use tch::{Device, nn};
use toml::{Table, Value};

/// The configurations of this repository.
fn configurations() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let mut texts = Vec::new();
    for folder in [root.clone(), root.join("cifar100")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts.sort();
    texts
}

/// Values that fit a type but make no sense.
fn odd() -> impl Strategy<Value = Value> {
    let numbers = [i64::MAX, i64::MIN, -1, 0, 1, 3, 1 << 40, 1 << 20];
    let fractions = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e308, 5e-324, 0.5];
    prop_oneof![
        prop::sample::select(numbers.to_vec()).prop_map(Value::from),
        prop::sample::select(fractions.to_vec()).prop_map(Value::from),
        prop::sample::select(vec!["", "../a", "/", ".", "none", "\0"]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Array(vec![])),
        Just(Value::Table(Table::new())),
    ]
}

/// Replaces one of the nested values by `odd`.
fn put(table: &mut Table, at: Index, odd: Value) {
    let mut values = Vec::new();
    for (_, value) in table.iter_mut() {
        collect(value, &mut values);
    }
    let index = at.index(values.len());
    *values.swap_remove(index) = odd;
}

fn collect<'a>(value: &'a mut Value, values: &mut Vec<&'a mut Value>) {
    if let Value::Table(inner) = value {
        inner.iter_mut().for_each(|(_, value)| collect(value, values));
    } else {
        values.push(value);
    }
}

/// An accepted experiment has a description and survives a round trip through TOML.
fn check(text: &str) {
    let Ok(experiment) = Experiment::parse(text, &[]) else { return };
    let task = experiment.task();
    assert!(task.classes > 0 && task.input.height > 0, "{task:?}");
    let _ = (experiment.model.describe(), experiment.objective_in_words());
    let written = experiment.to_toml().unwrap();
    let again = Experiment::parse(&written, &[]).unwrap();
    assert_eq!(again.to_toml().unwrap(), written);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A network is built or refused with an error, without a failure in libtorch.
    #[test]
    fn senseless_networks_are_built_or_refused(
        which: Index,
        changes in prop::collection::vec((any::<Index>(), odd()), 1..3),
    ) {
        let configurations = configurations();
        let mut table: Table = which.get(&configurations).parse().unwrap();
        for (_, backbone) in table["model"]["backbone"].as_table_mut().unwrap().iter_mut() {
            backbone.as_table_mut().unwrap().insert("width".to_owned(), 0.0625.into());
        }
        let model = table["model"].as_table_mut().unwrap();
        for (at, value) in changes {
            put(model, at, value);
        }
        if let Ok(experiment) = Experiment::parse(&table.to_string(), &[]) {
            let vs = nn::VarStore::new(Device::Cpu);
            let task = experiment.task();
            let built = MultiExit::build(&vs.root(), &experiment.model, task, Precision::F32);
            if let Err(error) = built {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn senseless_configurations_are_read_or_refused(
        which: Index,
        changes in prop::collection::vec((any::<Index>(), odd()), 1..3),
    ) {
        let configurations = configurations();
        let mut table: Table = which.get(&configurations).parse().unwrap();
        for (at, value) in changes {
            put(&mut table, at, value);
        }
        check(&table.to_string());
    }

    #[test]
    fn damaged_configurations_never_panic(
        which: Index,
        damage in prop::collection::vec((any::<Index>(), "[ -~\n]"), 1..4),
        end: Index,
    ) {
        let configurations = configurations();
        let mut text = which.get(&configurations).clone();
        for (at, character) in damage {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &character);
            }
        }
        check(&text);
        let end = end.index(text.len());
        check(text.get(..end).unwrap_or_default());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}", change in "\\PC{0,40}") {
        check(&text);
        let _ = tiny(&[change]);
    }

    /// A senseless position under a valid checksum.
    #[test]
    fn odd_positions_are_refused(at: Index, odd in "(-1|0|[0-9]{1,25}|null|\"\"|\\[\\]|\\{\\}|1e999|x)") {
        let folder = tempfile::tempdir().unwrap();
        let start = Position::start("name = 'a'".to_owned(), Fingerprint::default());
        let text = serde_json::to_string(&start).unwrap();
        let colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at + 1).collect();
        let from = *at.get(&colons);
        let length = text[from..].find([',', '}']).unwrap_or_default();
        let text = format!("{}{odd}{}", &text[..from], &text[from + length..]);
        let metadata = [("position".to_owned(), text)].into();
        let file = TensorFile { tensors: Default::default(), metadata };
        fs::write(folder.path().join("last.ckpt.safetensors"), file.to_bytes().unwrap()).unwrap();
        match checkpoint::load(folder.path(), &start, &CheckpointTensors::default()) {
            Ok(position) => {
                let is_valid = position.epoch == 0
                    && position.step_in_epoch <= 4
                    && position.counts.images() <= 8 * position.step_in_epoch as u64;
                prop_assert_eq!(position.check(0, 4, 8).is_ok(), is_valid);
            }
            Err(error) => prop_assert!(format!("{error:#}").contains("last.ckpt"), "{error:#}"),
        }
    }
}
