//! Records that nobody vouches for.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use sd_bench::{Run, run_folder, write_report};
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
        "objective": "self_distillation", "seed": 7, "epochs": 2, "steps": 20,
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

/// Opens the run of these files and reports it, if it is one. Whatever is wrong is said with the
/// name of its file.
fn report(folder: &Path, config: &str, summary: &[u8], epochs: &[u8]) -> bool {
    fs::write(folder.join(run_folder::CONFIG), config).unwrap();
    fs::write(folder.join(run_folder::SUMMARY), summary).unwrap();
    fs::write(folder.join(run_folder::EPOCHS), epochs).unwrap();
    let runs = match Run::open(folder) {
        Ok(run) => [run],
        Err(error) => {
            let said = error.to_string();
            let named =
                [run_folder::SUMMARY, run_folder::EPOCHS].iter().any(|name| said.contains(name));
            assert!(named, "{said}");
            return false;
        }
    };
    write_report(&runs, folder).unwrap();
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_records_never_panic(summary: Vec<u8>, epochs: Vec<u8>, text in "\\PC{0,80}") {
        let folder = tempfile::tempdir().unwrap();
        report(folder.path(), &text, &summary, &epochs);
        let whole = self::summary().to_string();
        report(folder.path(), &text, whole.as_bytes(), &epochs);
        report(folder.path(), &text, whole.as_bytes(), text.as_bytes());
    }

    #[test]
    fn records_out_of_all_sense_are_reported_or_refused(
        changes in prop::collection::vec((0..3usize, any::<Index>(), odd()), 1..4),
    ) {
        let (mut summary, mut epochs) = (summary(), [epoch(1), epoch(2)]);
        for (which, at, value) in changes {
            match which {
                0 => put(&mut summary, at, value),
                epoch => put(&mut epochs[epoch - 1], at, value),
            }
        }
        let epochs = epochs.map(|epoch| format!("{epoch}\n")).concat();
        let folder = tempfile::tempdir().unwrap();
        report(folder.path(), config(), summary.to_string().as_bytes(), epochs.as_bytes());
    }

    #[test]
    fn records_cut_short_are_named(end: Index, of_epochs: bool) {
        let (mut summary, mut epochs) = (summary().to_string(), format!("{}\n{}\n", epoch(1), epoch(2)));
        let cut = if of_epochs { &mut epochs } else { &mut summary };
        cut.truncate(end.index(cut.len()));
        let folder = tempfile::tempdir().unwrap();
        let reported = report(folder.path(), config(), summary.as_bytes(), epochs.as_bytes());
        prop_assert_eq!(reported, of_epochs);
    }
}
