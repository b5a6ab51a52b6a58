//! Whether each exit is right as often as it says.

use super::run_names::names;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::{BINS, EvaluationRecord, ExitEvaluation};
use crate::figure::Figure;
use crate::figure::reliability_diagram::{self, Panel};
use crate::format::number::{loss, percent, points};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "calibration", title: "Calibration", build };

const EXPLANATION: &str = "On the test set, after the last epoch. NLL is the mean negative \
    log-likelihood of the labels, in nats. An exit's confidence is the probability of its first \
    guess; above its accuracy, in points, it is too sure of itself. ECE, the expected calibration \
    error, is how far accuracy and confidence are apart within a bin of equal confidences, the mean \
    over the images";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let known: Vec<(String, &EvaluationRecord)> = names(runs)
        .into_iter()
        .zip(runs)
        .filter_map(|(name, run)| Some((name, run.evaluation.as_ref()?)))
        .collect();
    let mut elements = Vec::new();
    let explanation = match known.as_slice() {
        [] => return Ok(elements),
        [(_, evaluation)] if runs.len() == 1 => {
            elements.push(Element::Table(table(evaluation)));
            elements.push(Element::Figures(vec![figure(evaluation)?]));
            format!(
                "{EXPLANATION} ({BINS} bins, Guo et al. 2017); in the figure, a full bar \
                is a bin's accuracy, up to its confidence where that is less, and the pale part is \
                what the two are apart; the wider, the more images."
            )
        }
        known => {
            elements.push(Element::Table(side_by_side(known)));
            format!("{EXPLANATION} ({BINS} bins, Guo et al. 2017). Of the deepest exits.")
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
        "Reliability: accuracy by confidence, and each exit's ECE",
        &panels,
    )
}
