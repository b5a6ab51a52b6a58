//! Accuracy by class.

use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::{ClassScores, EvaluationRecord, ExitEvaluation};
use crate::format::number::{or_none, percent, percent_or_none, share};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "classes", title: "Accuracy by class", build };

/// Up to this many classes are all shown; of more, the worst and the best.
const ALL: usize = 24;
/// Number of worst and of best classes.
const EXTREMES: usize = 10;

const EXPLANATION: &str = "Share of each class's test images that are classified correctly (recall), \
    after the last epoch. Classes are sorted by that of the deepest exit, to which precision, F1 and \
    the most frequent mistake belong. Balanced accuracy is the mean recall, macro F1 the mean F1: both \
    count every class alike.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    // For several runs these would be more numbers than anybody compares.
    let [Run { evaluation: Some(evaluation), .. }] = runs else { return Ok(Vec::new()) };
    let Some(deepest) = evaluation.exits.last() else { return Ok(Vec::new()) };
    let mut elements = vec![Element::Table(averages(evaluation))];
    let mut order: Vec<(usize, f64)> = deepest
        .class_accuracy
        .iter()
        .enumerate()
        .filter_map(|(class, accuracy)| Some((class, (*accuracy)?)))
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let order: Vec<usize> = order.into_iter().map(|(class, _)| class).collect();
    if order.len() <= ALL {
        elements.push(Element::Table(table(evaluation, deepest, &order)));
    } else {
        let (worst, best) = (&order[..EXTREMES], &order[order.len() - EXTREMES..]);
        let best: Vec<usize> = best.iter().rev().copied().collect();
        elements.push(Element::Heading(format!("The worst {EXTREMES} of {}", order.len())));
        elements.push(Element::Table(table(evaluation, deepest, worst)));
        elements.push(Element::Heading(format!("The best {EXTREMES}")));
        elements.push(Element::Table(table(evaluation, deepest, &best)));
    }
    elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    Ok(elements)
}

/// Scores that count every class alike, a row for each exit and the ensemble.
fn averages(evaluation: &EvaluationRecord) -> Table {
    let numbers = ["Top-1", "Balanced accuracy", "Macro F1"].map(Column::number);
    let mut table = Table::new([Column::text("Exit")].into_iter().chain(numbers));
    for exit in evaluation.all() {
        let ClassScores { balanced_accuracy, macro_f1, .. } = exit.class_scores();
        let row =
            [exit.name.clone(), percent(exit.top1), percent(balanced_accuracy), percent(macro_f1)];
        let is_deepest = evaluation.exits.last() == Some(exit);
        if is_deepest { table.push_strong(row) } else { table.push(row) }
    }
    table
}

fn table(evaluation: &EvaluationRecord, deepest: &ExitEvaluation, classes: &[usize]) -> Table {
    let exits = evaluation.all().map(|exit| Column::number(exit.name.clone()));
    let columns = [Column::text("Class"), Column::number("Images")].into_iter().chain(exits);
    let scores = deepest.class_scores();
    let more = [Column::number("Precision"), Column::number("F1"), Column::text("Mistaken for")];
    let mut table = Table::new(columns.chain(more));
    for &class in classes {
        let row = &deepest.confusion[class];
        let images: u64 = row.iter().sum();
        let accuracies = evaluation.all().map(|exit| percent_or_none(exit.class_accuracy[class]));
        let mistaken = or_none(mistaken_for(row, class), |other| {
            format!("{} {}", evaluation.classes[other], share(row[other], images))
        });
        let cells = [evaluation.classes[class].clone(), images.to_string()].into_iter();
        let [precision, f1] = [&scores.precision, &scores.f1].map(|of| percent_or_none(of[class]));
        table.push(cells.chain(accuracies).chain([precision, f1, mistaken]));
    }
    table
}

/// The class that images with this label are most often mistaken for, the first of several; `None`
/// if all are classified correctly.
fn mistaken_for(row: &[u64], label: usize) -> Option<usize> {
    let others = (0..row.len()).filter(|&class| class != label && row[class] > 0);
    others.reduce(|most, next| if row[next] > row[most] { next } else { most })
}
