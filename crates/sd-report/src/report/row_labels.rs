//! The columns that tell the experiments of a table apart.

use super::experiment::Experiment;
use super::run_names::shortened;
use crate::document::{Cell, Column};
use crate::format::number::NONE;

/// Number of [`ModelLabels::columns`](super::model_labels::ModelLabels::columns).
pub(super) const ALL: usize = 5;
/// Number of those on which the costs depend.
pub(super) const ARCHITECTURE: usize = 4;

/// What all rows of a table have in common, and columns for what tells them apart.
#[derive(Debug)]
pub(super) struct RowLabels {
    /// `, network vgg11`, or empty.
    pub(super) common: String,
    pub(super) columns: Vec<Column>,
    /// The cells of each experiment, in the order of the experiments.
    pub(super) rows: Vec<Vec<Cell>>,
}

impl RowLabels {
    /// The first `count` labels of at least one experiment.
    pub(super) fn new(experiments: &[Experiment], count: usize) -> Self {
        let (mut common, mut columns) = (String::new(), Vec::new());
        let mut rows = vec![Vec::new(); experiments.len()];
        let first = experiments[0].labels.columns();
        for (index, (title, first)) in first.into_iter().enumerate().take(count) {
            let labels = experiments.iter().map(|other| other.labels.columns()[index].1);
            if experiments.len() == 1 || labels.clone().any(|label| label != first) {
                columns.push(Column::text(title));
                rows.iter_mut().zip(labels).for_each(|(row, label)| row.push(label.to_owned()));
            } else if first != NONE {
                common += &format!(", {} {first}", title.to_lowercase());
            }
        }
        Self { common, columns, rows }
    }

    /// Adds a column of names if two experiments have the same labels.
    pub(super) fn named(mut self, experiments: &[Experiment]) -> Self {
        let repeated = |row| self.rows.iter().filter(|other| *other == row).count() > 1;
        if self.rows.iter().any(repeated) {
            self.columns.insert(0, Column::text("Run"));
            let names = experiments.iter().map(|experiment| experiment.name.clone()).collect();
            self.rows.iter_mut().zip(shortened(names)).for_each(|(row, name)| row.insert(0, name));
        }
        self
    }
}
