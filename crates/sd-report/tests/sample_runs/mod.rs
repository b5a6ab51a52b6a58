//! Made-up runs to compare, and the tables of a section.

#![allow(dead_code, reason = "each file of tests uses a part")]

use std::collections::BTreeMap;

use sd_report::{
    Cost, ENSEMBLE, EnsembleScore, EpochRecord, ExitAccuracy, ExitScore, MixingSummary,
    ModelSummary, ObjectiveSummary, Run, RunRecord, SCHEMA_VERSION, SplitScore, Status,
};
use sd_report::{
    document::{Element, Table},
    report,
};
use toml::{Table as TomlTable, Value};

pub const DENSE: &str = "conv = \"dense\"";
pub const GROUPED: &str = "conv = { grouped = { groups = 8, shuffle = false } }";
pub const SEPARABLE: &str = "conv = \"depthwise_separable\"";
pub const PLAIN: &str = "";
pub const BYOT: &str = "[model.exits]\nafter = [1]\nkind = \"byot\"";
pub const LIGHT: &str =
    "[model.exits]\nafter = [1]\nkind = { light = { attention = { eca = {} } } }";
pub const DISTILLED: &str = "self_distillation = { alpha = 0.3, label_smoothing = 0.0 }";
pub const LABELS: &str = "deepest_only = { label_smoothing = 0.0 }";

/// A run of `epochs` epochs whose deepest exit scores `top1` and whose shallow exit 0.1 less.
pub fn run(name: &str, seed: u64, parts: [&str; 3], epochs: u64, top1: f64) -> Run {
    let [conv, exits, objective] = parts;
    let config = format!(
        "name = \"{name}\"\nseed = {seed}\n[data]\ndataset = \"cifar100\"\n\
         [model.backbone.vgg]\ndepth = 11\nhead = \"linear\"\nwidth = 1.0\n{conv}\n\
         attention = \"none\"\n{exits}\n[objective]\n{objective}\n\
         [train]\nepochs = {epochs}\nbatch_size = 128\n"
    );
    let exit = |name: &str, top1, params| ExitScore {
        name: name.to_owned(),
        test_top1: Some(top1),
        test_top5: None,
        test_loss: None,
        params,
        macs: 10 * params,
    };
    let mut scores = vec![exit("deepest", top1, 1_000_000)];
    if !exits.is_empty() {
        scores.insert(0, exit("exit1", top1 - 0.1, 100_000));
    }
    let cost = Cost { params: 1_000_000, macs: 10_000_000 };
    let summary = RunRecord {
        schema_version: SCHEMA_VERSION,
        status: Status::Finished,
        name: name.to_owned(),
        model: String::new(),
        model_summary: None,
        dataset: "cifar100".to_owned(),
        objective: String::new(),
        objective_summary: None,
        seed,
        epochs,
        steps: 1,
        stopped_early: false,
        exits: scores,
        ensemble: EnsembleScore { test_top1: Some(top1), test_top5: None, test_loss: None },
        deployed: cost,
        framework: cost,
        dense_original: Some(Cost { params: 8_000_000, macs: 80_000_000 }),
        best: None,
        images_per_second: 1.0,
        seconds: 1.0,
    };
    let folder = format!("runs/{name}-seed{seed}").into();
    let mut run = Run {
        folder,
        config: "".parse().unwrap(),
        environment: None,
        epochs: Vec::new(),
        epochs_truncated: false,
        mistakes: None,
        evaluation: None,
        deployment: None,
        latency: None,
        summary,
    };
    configure(&mut run, &config);
    run
}

/// Gives the run this configuration, and the record of what it trains.
pub fn configure(run: &mut Run, config: &str) {
    run.config = config.parse().unwrap();
    let table: TomlTable = config.parse().unwrap();
    let section = |key: &str| table.get(key).and_then(Value::as_table);
    let variant = |key: &str| section(key)?.iter().next();
    run.summary.model_summary = section("model").and_then(ModelSummary::from_config_names);
    run.summary.objective_summary = variant("objective").map(|(key, _)| {
        let (name, distils) = match key.as_str() {
            "self_distillation" => ("self-distillation", true),
            "tf_kd" => ("Tf-KD", false),
            other => (&*other.replace('_', " "), false),
        };
        let mixing = variant("mix").map(|(name, values)| MixingSummary {
            name: name.clone(),
            alpha: values["alpha"].as_float().unwrap(),
        });
        let objective = ObjectiveSummary::from_config(name, distils, section("objective").unwrap());
        ObjectiveSummary { mixing, ..objective }
    });
}

/// The run after one epoch with these validation scores of its exits. The ensemble is never right.
pub fn validated(mut run: Run, top1: &[f64]) -> Run {
    let accuracy =
        |name: &str, top1| ExitAccuracy { name: name.to_owned(), top1, top5: 1.0, loss: 1.0 };
    let names = run.summary.exits.iter().map(|exit| exit.name.as_str());
    let exits = names.zip(top1).map(|(name, &top1)| accuracy(name, top1)).collect();
    let valid = SplitScore { exits, ensemble: accuracy(ENSEMBLE, 0.0) };
    run.epochs.push(EpochRecord {
        epoch: 1,
        step: 1,
        learning_rate: 0.1,
        seconds: 1.0,
        images_per_second: 1.0,
        loss: 1.0,
        terms: BTreeMap::new(),
        train: Vec::new(),
        valid: Some(valid),
    });
    run
}

/// The run with this validation score of its ensemble after the last epoch.
pub fn with_ensemble(mut run: Run, top1: f64) -> Run {
    let valid = run.epochs.last_mut().and_then(|epoch| epoch.valid.as_mut()).unwrap();
    valid.ensemble.top1 = top1;
    run
}

pub fn tables(elements: Vec<Element>) -> Vec<Table> {
    let table = |element| match element {
        Element::Table(table) => Some(table),
        _ => None,
    };
    elements.into_iter().filter_map(table).collect()
}

/// The tables of a section.
pub fn section(runs: &[Run], id: &str) -> Vec<Table> {
    let blocks = report::document(runs).unwrap().blocks;
    blocks
        .into_iter()
        .find(|block| block.id == id)
        .map_or_else(Vec::new, |block| tables(block.elements))
}

/// The cells of a row under these columns.
pub fn cells<'t>(table: &'t Table, row: usize, columns: &[&str]) -> Vec<&'t str> {
    let cell = |title: &&str| {
        let at = table.columns.iter().position(|column| column.title == *title);
        table.rows[row].cells[at.unwrap_or_else(|| panic!("no column {title}"))].as_str()
    };
    columns.iter().map(cell).collect()
}

pub fn a_set() -> Vec<Run> {
    vec![
        run("light", 0, [GROUPED, LIGHT, DISTILLED], 20, 0.60),
        run("light", 1, [GROUPED, LIGHT, DISTILLED], 20, 0.62),
        run("byot", 0, [GROUPED, BYOT, DISTILLED], 20, 0.59),
        run("plain", 0, [GROUPED, PLAIN, LABELS], 20, 0.57),
        run("dense", 0, [DENSE, PLAIN, LABELS], 20, 0.65),
    ]
}
