//! The words that tell the networks of a table apart.

use super::trial::Trial;
use super::{Cell, Column, names};
use crate::format::number::NONE;

/// How many of [`Model::words`](super::model::Model::words) there are.
pub(super) const ALL: usize = 5;
/// How many of them say what is computed, and what it costs.
pub(super) const ARCHITECTURE: usize = 4;

/// What is the same in every row of a table, and the columns of what is not.
#[derive(Debug)]
pub(super) struct Words {
    /// `, network vgg11`, or nothing.
    pub(super) common: String,
    pub(super) columns: Vec<Column>,
    /// The cells of each trial, in their order.
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Words {
    /// The first `most` words of at least one trial.
    pub(super) fn of(trials: &[Trial], most: usize) -> Self {
        let (mut common, mut columns) = (String::new(), Vec::new());
        let mut rows = vec![Vec::new(); trials.len()];
        for (index, (title, first)) in trials[0].model.words().into_iter().enumerate().take(most) {
            let words = trials.iter().map(|trial| trial.model.words()[index].1);
            if trials.len() == 1 || words.clone().any(|word| word != first) {
                columns.push(Column::text(title));
                rows.iter_mut().zip(words).for_each(|(row, word)| row.push(word.to_owned()));
            } else if first != NONE {
                common += &format!(", {} {first}", title.to_lowercase());
            }
        }
        Self { common, columns, rows }
    }

    /// With a column of names, where two of these trials have the same words.
    pub(super) fn named(mut self, trials: &[Trial]) -> Self {
        let twice = |row| self.rows.iter().filter(|other| *other == row).count() > 1;
        if self.rows.iter().any(twice) {
            self.columns.insert(0, Column::text("Run"));
            let names = names::shortened(trials.iter().map(|trial| trial.name.clone()).collect());
            self.rows.iter_mut().zip(names).for_each(|(row, name)| row.insert(0, name));
        }
        self
    }
}
