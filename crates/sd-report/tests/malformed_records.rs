//! Records that nobody vouches for.

mod deployed;
mod evaluated;

use std::fs;
use std::path::Path;

use deployed::{deployment, latency};
use evaluated::evaluation;
use proptest::prelude::*;
use proptest::sample::Index;
use sd_report::report::evaluation_text;
use sd_report::{Run, run_folder, write_report};
use serde_json::{Value, json};

fn config() -> &'static str {
    "name = \"a\"\nseed = 0\n[train]\nepochs = 2\n[model.backbone.vgg]\ndepth = 11\n"
}

fn accuracy(name: &str) -> Value {
    json!({"name": name, "top1": 0.5, "top5": 0.75, "loss": 1.5})
}

fn epoch(epoch: u64) -> Value {
    json!({
        "epoch": epoch, "step": 10 * epoch, "learning_rate": 0.1, "seconds": 2.0,
        "images_per_second": 640.0, "loss": 1.5, "terms": {"label": 1.0, "soft": 0.5},
        "train": [accuracy("stage1"), accuracy("deepest")],
        "valid": {"exits": [accuracy("stage1"), accuracy("deepest")], "ensemble": accuracy("ensemble")},
    })
}

fn summary() -> Value {
    let exit = |name: &str| json!({"name": name, "test_top1": 0.5, "test_top5": 0.75, "test_loss": 1.5, "params": 52_000, "macs": 3_400_000});
    json!({
        "schema_version": 1, "status": "finished", "name": "a", "model": "vgg11", "dataset": "synthetic",
        "model_summary": {
            "backbone": {"family": "vgg", "depth": 11, "width": 1.0, "output_stride": 4,
                "convolutions": [{"name": "grouped", "values": {"groups": 8, "shuffle": false}}]},
            "exits": {"kind": {"name": "light"}, "attention": {"name": "eca"}, "after": [1]},
        },
        "objective": "self-distillation", "seed": 7,
        "objective_summary": {"name": "self-distillation", "distils": true, "alpha": 0.3,
            "mixing": {"name": "mixup", "alpha": 1.0}}, "epochs": 2, "steps": 20,
        "exits": [exit("stage1"), exit("deepest")],
        "ensemble": {"test_top1": 0.5, "test_top5": 0.75, "test_loss": 1.5},
        "deployed": {"params": 52_000, "macs": 3_400_000},
        "framework": {"params": 60_000, "macs": 3_500_000},
        "dense_original": {"params": 520_000, "macs": 34_000_000},
        "best": {"epoch": 2, "valid_top1": 0.5, "exits": [accuracy("stage1"), accuracy("deepest")], "ensemble": accuracy("ensemble")},
        "images_per_second": 640.0, "seconds": 4.0,
    })
}

/// Values that are in the range of their type and out of any sense.
fn odd() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(u64::MAX),
        json!(u64::MAX / 2),
        json!(1u64 << 40),
        json!(1e308),
        json!(-1e308),
        json!(5e-324),
        json!(0.0),
        json!(2.0),
        json!(""),
        json!("<&|\n"),
        json!([]),
        json!({}),
    ])
}

/// Puts `value` in the place of one of the numbers, texts or lists inside.
fn put(inside: &mut Value, at: Index, value: Value) {
    fn places(inside: &Value, path: String, all: &mut Vec<String>) {
        match inside {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| places(value, format!("{path}/{key}"), all));
            }
            Value::Array(values) => {
                all.push(path.clone());
                values
                    .iter()
                    .enumerate()
                    .for_each(|(key, value)| places(value, format!("{path}/{key}"), all));
            }
            _ => all.push(path),
        }
    }
    let mut all = Vec::new();
    places(inside, String::new(), &mut all);
    *inside.pointer_mut(&all[at.index(all.len())]).unwrap() = value;
}

/// The records of a run that read as JSON, one document a line: of `epochs.jsonl` two.
fn records() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (run_folder::SUMMARY, vec![summary()]),
        (run_folder::EPOCHS, vec![epoch(1), epoch(2)]),
        (run_folder::EVALUATION, vec![serde_json::to_value(evaluation()).unwrap()]),
        (run_folder::DEPLOYMENT, vec![serde_json::to_value(deployment()).unwrap()]),
        (run_folder::LATENCY, vec![serde_json::to_value(latency(1.0)).unwrap()]),
    ]
}

fn lines(documents: &[Value]) -> Vec<u8> {
    documents.iter().map(|document| format!("{document}\n")).collect::<String>().into_bytes()
}

/// Opens the run of this configuration and these records and reports it, if it is one. Whatever is
/// wrong is said with the name of its file; of a configuration that is none, by the report.
fn report(config: &str, records: &[(&str, Vec<u8>)]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let folder: &Path = folder.path();
    fs::write(folder.join(run_folder::CONFIG), config).unwrap();
    for (name, bytes) in records {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let runs = match Run::open(folder) {
        Ok(run) => [run],
        Err(error) => {
            let said = error.to_string();
            let mut files = records.iter().map(|(name, _)| *name).chain([run_folder::CONFIG]);
            assert!(files.any(|name| said.contains(name)), "{said}");
            return false;
        }
    };
    write_report(&runs, folder).unwrap();
    if let Some(evaluation) = &runs[0].evaluation {
        assert!(evaluation_text(evaluation).contains("images of the "));
    }
    true
}

#[test]
fn what_the_tests_below_change_is_a_run() {
    let whole = records().into_iter().map(|(name, documents)| (name, lines(&documents)));
    assert!(report(config(), &whole.collect::<Vec<_>>()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_records_never_panic(
        bytes: Vec<u8>,
        text in "\\PC{0,80}",
        which: Index,
        of_bytes: bool,
    ) {
        let mut files: Vec<(&str, Vec<u8>)> =
            records().into_iter().map(|(name, documents)| (name, lines(&documents))).collect();
        let at = which.index(files.len());
        files[at].1 = if of_bytes { bytes } else { text.clone().into_bytes() };
        // With it, no more of the report is written than the section that wants a configuration.
        let replaced = files[at].0;
        files.retain(|(name, _)| *name != run_folder::LATENCY || *name == replaced);
        report(&text, &files);
    }

    #[test]
    fn records_out_of_all_sense_are_reported_or_refused(
        changes in prop::collection::vec((any::<Index>(), any::<Index>(), odd()), 1..4),
    ) {
        let mut records = records();
        for (which, at, value) in changes {
            let mut documents: Vec<&mut Value> =
                records.iter_mut().flat_map(|(_, documents)| documents).collect();
            let document = which.index(documents.len());
            put(documents[document], at, value);
        }
        let files = records.into_iter().map(|(name, documents)| (name, lines(&documents)));
        report(config(), &files.collect::<Vec<_>>());
    }

    #[test]
    fn records_cut_short_are_named(which: Index, end: Index) {
        let mut files: Vec<(&str, Vec<u8>)> =
            records().into_iter().map(|(name, documents)| (name, lines(&documents))).collect();
        let (name, cut) = {
            let at = which.index(files.len());
            let (name, bytes) = &mut files[at];
            // Without its last line's end, a document is whole all the same.
            bytes.truncate(end.index(bytes.len() - 1));
            (*name, bytes.len())
        };
        prop_assert_eq!(report(config(), &files), name == run_folder::EPOCHS, "{} of {}", cut, name);
    }
}
