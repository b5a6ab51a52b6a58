//! Calibration: whether the confidence of each exit matches its accuracy.

use super::run_names::named;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::{BINS, EvaluationRecord, ExitEvaluation};
use crate::figure::Figure;
use crate::figure::reliability_diagram::{self, Panel};
use crate::format::number::{loss, or_none, percent, percent_or_none, points};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "calibration", title: "Calibration", build };

const EXPLANATION: &str = "Test set, after the last epoch. NLL: mean negative log-likelihood of the \
    labels, in nats. Confidence: mean probability of the predicted class; above top-1, the exit is \
    overconfident (“− top-1” in points). ECE: expected calibration error, the distance between \
    accuracy and confidence within bins of equal width, averaged over the images";
/// For runs with temperatures.
const SCALED: &str = " T: temperature that logits are divided by in early exit, predict and exports, \
    fitted on the validation images; the last two columns are ECE and NLL with it.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let known = named(runs, |run| run.evaluation.as_ref());
    let mut elements = Vec::new();
    let explanation = match known.as_slice() {
        [] => return Ok(elements),
        [(_, evaluation)] if runs.len() == 1 => {
            elements.push(Element::Table(table(evaluation)));
            elements.push(Element::Figures(vec![figure(evaluation)?]));
            format!(
                "{EXPLANATION} ({BINS} bins, Guo et al. 2017). In the figure, full bars are the \
                lower of accuracy and confidence of a bin, pale bars the gap between them; wider \
                bars have more images."
            )
        }
        known => {
            elements.push(Element::Table(side_by_side(known)));
            format!("{EXPLANATION} ({BINS} bins, Guo et al. 2017). Deepest exits only.")
        }
    };
    let is_scaled = known.iter().any(|(_, evaluation)| is_scaled(evaluation));
    elements.push(Element::Paragraph(explanation + if is_scaled { SCALED } else { "" }));
    Ok(elements)
}

/// A row for each exit and the ensemble.
pub(super) fn table(evaluation: &EvaluationRecord) -> Table {
    let is_scaled = is_scaled(evaluation);
    let mut table = Table::new(columns("Exit", is_scaled));
    for exit in evaluation.all() {
        let row = cells(exit.name.clone(), exit, is_scaled);
        let is_deepest = evaluation.exits.last() == Some(exit);
        if is_deepest { table.push_strong(row) } else { table.push(row) }
    }
    table
}

/// A row for each run's deepest exit.
fn side_by_side(known: &[(String, &EvaluationRecord)]) -> Table {
    let is_scaled = known.iter().any(|(_, evaluation)| is_scaled(evaluation));
    let mut table = Table::new(columns("Run", is_scaled));
    for (name, evaluation) in known {
        if let Some(deepest) = evaluation.exits.last() {
            table.push(cells(name.clone(), deepest, is_scaled));
        }
    }
    table
}

fn is_scaled(evaluation: &EvaluationRecord) -> bool {
    evaluation.all().any(|exit| exit.scaling.is_some())
}

fn columns(first: &str, is_scaled: bool) -> Vec<Column> {
    let numbers = ["Top-1", "Confidence", "− top-1", "ECE", "NLL", "T", "ECE at T", "NLL at T"];
    let numbers = &numbers[..if is_scaled { 8 } else { 5 }];
    let numbers = numbers.iter().map(|&title| Column::number(title));
    [Column::text(first)].into_iter().chain(numbers).collect()
}

fn cells(name: String, exit: &ExitEvaluation, is_scaled: bool) -> Vec<String> {
    let confidence = exit.mean_confidence();
    let mut cells = vec![
        name,
        percent(exit.top1),
        percent(confidence),
        points(confidence - exit.top1),
        percent(exit.calibration_error),
        loss(exit.loss),
    ];
    if is_scaled {
        let scaling = exit.scaling.as_ref();
        cells.extend([
            or_none(scaling, |scaling| loss(f64::from(scaling.temperature))),
            percent_or_none(scaling.map(|scaling| scaling.calibration_error)),
            or_none(scaling, |scaling| loss(scaling.loss)),
        ]);
    }
    cells
}

fn figure(evaluation: &EvaluationRecord) -> Result<Figure> {
    let panels = evaluation.all().map(|exit| Panel {
        title: format!("{}, {}", exit.name, percent(exit.calibration_error)),
        bins: &exit.bins,
        strong: evaluation.exits.last() == Some(exit),
    });
    let panels: Vec<Panel> = panels.collect();
    reliability_diagram::draw(
        "reliability",
        "Reliability: accuracy by confidence, with the ECE of each exit",
        &panels,
    )
}
