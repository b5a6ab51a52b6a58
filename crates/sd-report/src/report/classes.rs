//! Which classes are recognised, and which are not.

use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::{EvaluationRecord, ExitEvaluation};
use crate::format::number::{NONE, percent, percent_or_none};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "classes", title: "Accuracy by class", build };

/// Classes that are all shown; of more, the worst and the best.
const ALL: usize = 24;
/// How many of either.
const EXTREMES: usize = 10;

const EXPLANATION: &str = "Fraction of each class's test images that is recognised, after the last \
    epoch. Classes stand by the deepest exit's accuracy, which also says for what they are mistaken \
    most often.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    // Of several runs there would be more numbers than anybody compares.
    let [Run { evaluation: Some(evaluation), .. }] = runs else { return Ok(Vec::new()) };
    let Some(deepest) = evaluation.exits.last() else { return Ok(Vec::new()) };
    let mut order: Vec<(usize, f64)> = deepest
        .class_accuracy
        .iter()
        .enumerate()
        .filter_map(|(class, accuracy)| Some((class, (*accuracy)?)))
        .collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let order: Vec<usize> = order.into_iter().map(|(class, _)| class).collect();
    let mut elements = Vec::new();
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

fn table(evaluation: &EvaluationRecord, deepest: &ExitEvaluation, classes: &[usize]) -> Table {
    let exits = evaluation.all().map(|exit| Column::number(exit.name.clone()));
    let columns = [Column::text("Class"), Column::number("Images")].into_iter().chain(exits);
    let mut table = Table::new(columns.chain([Column::text("Taken for")]));
    for &class in classes {
        let row = &deepest.confusion[class];
        let images: u64 = row.iter().sum();
        let accuracies = evaluation.all().map(|exit| percent_or_none(exit.class_accuracy[class]));
        let mistaken = mistaken_for(row, class).map_or_else(
            || NONE.to_owned(),
            |other| {
                let share = row[other] as f64 / images as f64;
                format!("{} {}", evaluation.classes[other], percent(share))
            },
        );
        let cells = [evaluation.classes[class].clone(), images.to_string()].into_iter();
        table.push(cells.chain(accuracies).chain([mistaken]));
    }
    table
}

/// The other class that takes the most of a label's images, the first of several; none if all are
/// recognised.
fn mistaken_for(row: &[u64], label: usize) -> Option<usize> {
    let others = (0..row.len()).filter(|&class| class != label && row[class] > 0);
    others.reduce(|most, next| if row[next] > row[most] { next } else { most })
}
