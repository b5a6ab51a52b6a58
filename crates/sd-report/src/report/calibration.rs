//! Calibration: whether the confidence of each exit matches its accuracy.

use super::run_names::named;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::{BINS, EvaluationRecord, ExitEvaluation};
use crate::figure::Figure;
use crate::figure::reliability_diagram::{self, Panel};
use crate::format::number::{loss, percent, points};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "calibration", title: "Calibration", build };

const EXPLANATION: &str = "Test set, after the last epoch. NLL: mean negative log-likelihood of the \
    labels, in nats. Confidence: mean probability of the predicted class; above top-1, the exit is \
    overconfident (“− top-1” in points). ECE: expected calibration error, the distance between \
    accuracy and confidence within bins of equal width, averaged over the images";

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
    elements.push(Element::Paragraph(explanation));
    Ok(elements)
}

/// A row for each exit and the ensemble.
pub(super) fn table(evaluation: &EvaluationRecord) -> Table {
    let mut table = Table::new(columns("Exit"));
    for exit in evaluation.all() {
        let row = cells(exit.name.clone(), exit);
        let is_deepest = evaluation.exits.last() == Some(exit);
        if is_deepest { table.push_strong(row) } else { table.push(row) }
    }
    table
}

/// A row for each run's deepest exit.
fn side_by_side(known: &[(String, &EvaluationRecord)]) -> Table {
    let mut table = Table::new(columns("Run"));
    for (name, evaluation) in known {
        if let Some(deepest) = evaluation.exits.last() {
            table.push(cells(name.clone(), deepest));
        }
    }
    table
}

fn columns(first: &str) -> impl Iterator<Item = Column> {
    let numbers = ["Top-1", "Confidence", "− top-1", "ECE", "NLL"];
    [Column::text(first)].into_iter().chain(numbers.map(Column::number))
}

fn cells(name: String, exit: &ExitEvaluation) -> [String; 6] {
    let confidence = exit.mean_confidence();
    [
        name,
        percent(exit.top1),
        percent(confidence),
        points(confidence - exit.top1),
        percent(exit.calibration_error),
        loss(exit.loss),
    ]
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
