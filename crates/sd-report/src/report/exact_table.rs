//! The exact numbers of a report as one flat table.

use super::run_names::names;
use crate::document::{Column, Table};
use crate::record::{ENSEMBLE, EnsembleScore, RunRecord, Status};
use crate::run_folder::Run;

/// Returns the exact numbers of the report, one row per run and exit, for scripts.
pub fn exact_table(runs: &[Run]) -> Table {
    let text = ["run", "status", "model", "dataset", "objective"];
    let numbers = ["seed", "epochs"];
    let scores = [
        "test_top1",
        "test_top5",
        "test_loss",
        "params",
        "macs",
        "deployed_params",
        "deployed_macs",
        "framework_params",
        "framework_macs",
        "dense_params",
        "dense_macs",
        "best_epoch",
        "best_epoch_test_top1",
        "images_per_second",
        "seconds",
    ];
    let columns = text.map(Column::text).into_iter().chain(numbers.map(Column::number));
    let columns = columns.chain([Column::text("exit")]).chain(scores.map(Column::number));
    let mut table = Table::new(columns);
    for (run, name) in runs.iter().zip(names(runs)) {
        let record = &run.summary;
        for (index, exit) in record.exits.iter().enumerate() {
            let best = record.best.as_ref().and_then(|best| best.exits.get(index));
            let score = [exit.test_top1, exit.test_top5, exit.test_loss];
            let cost = [exit.params, exit.macs];
            table.push(row(record, &name, &exit.name, score, cost, best.map(|best| best.top1)));
        }
        let EnsembleScore { test_top1, test_top5, test_loss } = record.ensemble;
        let score = [test_top1, test_top5, test_loss];
        let cost = [record.framework.params, record.framework.macs];
        let best = record.best.as_ref().and_then(|best| best.ensemble.as_ref());
        let best = best.map(|ensemble| ensemble.top1);
        table.push(row(record, &name, ENSEMBLE, score, cost, best));
    }
    table
}

fn row(
    record: &RunRecord,
    name: &str,
    exit: &str,
    score: [Option<f64>; 3],
    cost: [u64; 2],
    best_top1: Option<f64>,
) -> impl Iterator<Item = String> {
    let status = match record.status {
        Status::Running => "running",
        Status::Finished => "finished",
        Status::Interrupted => "interrupted",
        Status::Failed => "failed",
    };
    let dense = record.dense_original;
    let optional = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
    let about = [name, status, &record.model, &record.dataset, &record.objective];
    let about = about.map(str::to_owned);
    let when = [record.seed.to_string(), record.epochs.to_string(), exit.to_owned()];
    let costs = [
        cost[0],
        cost[1],
        record.deployed.params,
        record.deployed.macs,
        record.framework.params,
        record.framework.macs,
    ];
    let rest = [
        optional(dense.map(|dense| dense.params)),
        optional(dense.map(|dense| dense.macs)),
        optional(record.best.as_ref().map(|best| best.epoch)),
        exact(best_top1),
        exact(Some(record.images_per_second)),
        exact(Some(record.seconds)),
    ];
    let scores = score.map(exact).into_iter().chain(costs.map(|cost| cost.to_string()));
    about.into_iter().chain(when).chain(scores).chain(rest)
}

/// As many digits as needed to read the same number back; empty without a number.
fn exact(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}
