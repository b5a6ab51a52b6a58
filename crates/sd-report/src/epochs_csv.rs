//! The epochs of a run as a table for spreadsheets and scripts: `epochs.csv`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::document::{Column, Table};
use crate::error::Result;
use crate::format::csv;
use crate::record::{EpochRecord, ExitAccuracy};
use crate::run_folder::{self, read_epochs, write_atomic};

/// Writes the epochs of `epochs.jsonl` beside it as `epochs.csv`, a row each: whole or not at all.
///
/// # Errors
/// Where the one cannot be read or the other not be written.
pub fn write_epochs_csv(folder: &Path) -> Result<()> {
    let (epochs, _) = read_epochs(folder.join(run_folder::EPOCHS))?;
    write_atomic(folder.join(run_folder::EPOCHS_CSV), csv::render(&table(&epochs))?.as_bytes())
}

/// A column for each number that any of the epochs has; a cell is empty where there is none.
fn table(epochs: &[EpochRecord]) -> Table {
    let rows: Vec<Vec<(String, f64)>> = epochs.iter().map(numbers).collect();
    let mut seen = BTreeSet::new();
    let mut names: Vec<&String> = Vec::new();
    // The last epoch first: a term may begin later than the others.
    for (name, _) in rows.iter().rev().flatten() {
        if seen.insert(name) {
            names.push(name);
        }
    }
    let counts = ["epoch", "step"].map(Column::number).into_iter();
    let mut table =
        Table::new(counts.chain(names.iter().map(|name| Column::number(name.as_str()))));
    for (epoch, row) in epochs.iter().zip(&rows) {
        let cell = |name: &&String| {
            let number = row.iter().find(|(own, _)| own == *name).map(|(_, value)| *value);
            number.filter(|value| value.is_finite()).map_or_else(String::new, |v| v.to_string())
        };
        let counts = [epoch.epoch.to_string(), epoch.step.to_string()].into_iter();
        table.push(counts.chain(names.iter().map(cell)).collect::<Vec<_>>());
    }
    table
}

/// The numbers of an epoch by their columns' names, apart from its count and its step.
fn numbers(epoch: &EpochRecord) -> Vec<(String, f64)> {
    let mut all = vec![
        ("learning_rate".to_owned(), epoch.learning_rate),
        ("seconds".to_owned(), epoch.seconds),
        ("images_per_second".to_owned(), epoch.images_per_second),
        ("train_loss".to_owned(), epoch.loss),
    ];
    all.extend(epoch.terms.iter().map(|(term, mean)| (format!("train_loss_{term}"), *mean)));
    let of = |(split, exit): (&'static str, &ExitAccuracy)| {
        let name = exit.name.clone();
        exit.numbers().map(|(what, value)| (format!("{split}_{name}_{what}"), value))
    };
    all.extend(epoch.scores().flat_map(of));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append_line;
    use std::collections::BTreeMap;

    #[test]
    fn an_epoch_is_a_row_and_a_number_that_is_missing_an_empty_cell() {
        let folder = tempfile::tempdir().unwrap();
        let exit = ExitAccuracy { name: "deepest".to_owned(), top1: 0.5, top5: 1.0, loss: 0.25 };
        let of = |epoch, terms: &[(&str, f64)]| EpochRecord {
            epoch,
            step: 10 * epoch,
            learning_rate: 0.1,
            seconds: 2.0,
            images_per_second: 64.0,
            loss: 1.5,
            terms: terms
                .iter()
                .map(|(term, mean)| ((*term).to_owned(), *mean))
                .collect::<BTreeMap<_, _>>(),
            train: vec![exit.clone()],
            valid: None,
        };
        for epoch in [of(1, &[("label", 1.5)]), of(2, &[("label", f64::NAN), ("soft", 0.5)])] {
            append_line(folder.path().join(run_folder::EPOCHS), &epoch).unwrap();
        }
        write_epochs_csv(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("epochs.csv")).unwrap();
        let expected = "epoch,step,learning_rate,seconds,images_per_second,train_loss,\
            train_loss_label,train_loss_soft,train_deepest_top1,train_deepest_top5,\
            train_deepest_cross_entropy\n\
            1,10,0.1,2,64,1.5,1.5,,0.5,1,0.25\n2,20,0.1,2,64,1.5,,0.5,0.5,1,0.25\n";
        assert_eq!(text, expected);
    }
}
