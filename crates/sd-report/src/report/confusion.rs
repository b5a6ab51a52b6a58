//! Which classes are taken for which.

use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::EvaluationRecord;
use crate::figure::confusion_matrix;
use crate::format::number::share;
use crate::run_folder::{EVALUATION, Run};

pub(super) const SECTION: Section = Section { id: "confusion", title: "Confusion", build };

/// Pairs in the table.
const PAIRS: usize = 10;
/// Classes of which the matrix can still be drawn: of more, a cell is less than two pixels.
const DRAWN: usize = 200;

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let [Run { evaluation: Some(evaluation), .. }] = runs else { return Ok(Vec::new()) };
    let Some(deepest) = evaluation.exits.last() else { return Ok(Vec::new()) };
    let mut elements = Vec::new();
    if evaluation.classes.len() <= DRAWN {
        let caption =
            "Confusion of the deepest exit: labels by row, what they are taken for by column";
        let figure =
            confusion_matrix::draw("confusion", caption, &evaluation.classes, &deepest.confusion)?;
        elements.push(Element::Figures(vec![figure]));
    }
    let pairs = pairs(&deepest.confusion);
    if !pairs.is_empty() {
        elements.push(Element::Heading("Most frequent mistakes".to_owned()));
        elements.push(Element::Table(table(evaluation, &deepest.confusion, &pairs)));
    }
    elements.push(Element::Paragraph(format!(
        "On the test set, after the last epoch. The stronger a cell, the more of its label's images \
         are in it; right ones are on the diagonal, in another colour. {EVALUATION} has the matrix \
         of every exit."
    )));
    Ok(elements)
}

/// The pairs of a label and another class that it is taken for, the most frequent first.
fn pairs(confusion: &[Vec<u64>]) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = (0..confusion.len())
        .flat_map(|label| (0..confusion.len()).map(move |class| (label, class)))
        .filter(|&(label, class)| label != class && confusion[label][class] > 0)
        .collect();
    pairs.sort_by_key(|&(label, class)| std::cmp::Reverse(confusion[label][class]));
    pairs.truncate(PAIRS);
    pairs
}

fn table(evaluation: &EvaluationRecord, confusion: &[Vec<u64>], pairs: &[(usize, usize)]) -> Table {
    let mut table = Table::new([
        Column::text("Label"),
        Column::text("Taken for"),
        Column::number("Images"),
        Column::number("of the label's"),
        Column::number("The other way"),
    ]);
    for &(label, class) in pairs {
        table.push([
            evaluation.classes[label].clone(),
            evaluation.classes[class].clone(),
            confusion[label][class].to_string(),
            share(confusion[label][class], confusion[label].iter().sum()),
            confusion[class][label].to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_mistakes_come_first() {
        let confusion = vec![vec![9, 0, 2], vec![3, 9, 0], vec![0, 2, 9]];
        assert_eq!(pairs(&confusion), [(1, 0), (0, 2), (2, 1)]);
    }
}
