//! Early exit: MACs saved and accuracy lost.

use super::run_names::named;
use super::section::Section;
use crate::document::{Column, Element, Table};
use crate::error::Result;
use crate::evaluation::{EarlyExit, EvaluationRecord, ExitRule, OperatingPoint};
use crate::figure::{Line, Mark, Plot, Range, Ticks};
use crate::format::number::{NONE, or_none, percent, percent_or_none, points, share, threshold};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "early-exit", title: "Early exit", build };

const EXPLANATION: &str = "An image leaves at the first exit that is confident enough (confidence), whose \
    entropy is low enough (entropy), or that agrees with the exits before it (patience); alone is the \
    network cut off at one exit, without early exit. For each rule, the threshold within the budget \
    that was most accurate on the validation images is shown, with its test results. Budgets and \
    MACs are relative to the deepest exit without shallow exits. Rules without a threshold within a \
    budget are left out; if there is none, even the first exit costs more.";

const OF_SEVERAL: &str = "Test top-1 of the deepest exit, and of early exit by confidence at budgets \
    relative to the deepest exit's MACs. The thresholds were chosen on the validation images.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let known = named(runs, |run| {
        let evaluation = run.evaluation.as_ref()?;
        Some((evaluation, evaluation.early_exit.as_ref()?))
    });
    let mut elements = Vec::new();
    match known.as_slice() {
        [] => return Ok(elements),
        [(_, (evaluation, early))] if runs.len() == 1 => {
            elements.extend(Element::drawn([plot(evaluation, early)])?);
            elements.push(Element::Table(budgets(evaluation, early)));
            let chose =
                format!("Thresholds were chosen on {} validation images. ", early.valid_images);
            elements.push(Element::Paragraph(chose + EXPLANATION));
        }
        known => {
            elements.push(Element::Table(side_by_side(known)));
            elements.push(Element::Paragraph(OF_SEVERAL.to_owned()));
        }
    }
    Ok(elements)
}

/// The name of each exit with the score of the network cut off there.
fn alone<'a>(
    evaluation: &'a EvaluationRecord,
    early: &'a EarlyExit,
) -> impl Iterator<Item = (&'a str, &'a OperatingPoint)> {
    let curves = early.curves.iter().filter(|curve| curve.rule == ExitRule::Alone);
    let settings = curves.flat_map(|curve| &curve.settings);
    evaluation.exits.iter().map(|exit| exit.name.as_str()).zip(settings)
}

pub(super) fn plot(evaluation: &EvaluationRecord, early: &EarlyExit) -> Plot {
    let point = |setting: &OperatingPoint| (early.share(setting.test.macs), setting.test.top1);
    let rules = early.curves.iter().filter(|curve| curve.rule != ExitRule::Alone);
    let lines = rules.map(|curve| Line {
        name: curve.rule.name().to_owned(),
        points: curve.settings.iter().map(point).collect(),
        dots: early
            .budgets
            .iter()
            .flat_map(|budget| &budget.choices)
            .filter(|choice| choice.rule == curve.rule)
            .filter_map(|choice| choice.setting.as_ref().map(point))
            .collect(),
        strong: curve.rule == ExitRule::Confidence,
    });
    // The deepest exit lies at the right edge, where the names of the lines begin.
    let shallow = evaluation.exits.len().saturating_sub(1);
    let marks = alone(evaluation, early).enumerate().map(|(exit, (name, setting))| Mark {
        name: if exit < shallow { name.to_owned() } else { String::new() },
        point: point(setting),
        below: true,
    });
    Plot {
        name: "early-exit".to_owned(),
        caption: "Test top-1 against mean MACs; dots: budgets, rings: single exits".to_owned(),
        x_label: "MACs relative to the deepest exit",
        x: Ticks::Percent,
        y: Ticks::Percent,
        x_range: Range::Zero,
        y_from_zero: false,
        lines: lines.collect(),
        marks: marks.collect(),
    }
}

/// A row for each budget and rule.
pub(super) fn budgets(evaluation: &EvaluationRecord, early: &EarlyExit) -> Table {
    let first = [
        Column::text("Budget"),
        Column::text("Rule"),
        Column::text("Threshold"),
        Column::number("Top-1"),
        Column::number("− deepest"),
        Column::number("MACs"),
    ];
    let left = evaluation.exits.iter().map(|exit| Column::number(format!("left at {}", exit.name)));
    let mut table = Table::new(first.into_iter().chain(left));
    let deepest = early.deepest().map(|setting| setting.test.top1);
    for budget in &early.budgets {
        let mut name = format!("{:.0} %", 100.0 * budget.share);
        let chosen = budget
            .choices
            .iter()
            .filter_map(|choice| Some((choice.rule, choice.setting.as_ref()?)));
        for (rule, setting) in chosen {
            let test = &setting.test;
            let cells = [
                std::mem::take(&mut name),
                rule.name().to_owned(),
                value(evaluation, rule, setting),
                percent(test.top1),
                or_none(deepest, |deepest| points(test.top1 - deepest)),
                percent(early.share(test.macs)),
            ];
            let images: u64 = test.left_at.iter().sum();
            table.push(
                cells.into_iter().chain(test.left_at.iter().map(|&left| share(left, images))),
            );
        }
        if !name.is_empty() {
            let nothing = vec![NONE.to_owned(); 4 + evaluation.exits.len()];
            table.push([name, "none".to_owned()].into_iter().chain(nothing));
        }
    }
    table
}

/// `≥ 0.83`, `≤ 0.12`, `2 agree`, `exit2`.
fn value(evaluation: &EvaluationRecord, rule: ExitRule, setting: &OperatingPoint) -> String {
    let Some(value) = setting.value else { return "no early exit".to_owned() };
    match rule {
        ExitRule::Confidence => format!("≥ {}", threshold(value)),
        ExitRule::Entropy => format!("≤ {}", threshold(value)),
        ExitRule::Patience => format!("{value} agree"),
        ExitRule::Alone => {
            let exit = evaluation.exits.get((value as usize).wrapping_sub(1));
            exit.map_or_else(|| value.to_string(), |exit| exit.name.clone())
        }
    }
}

/// A row for each run: accuracy of the deepest exit and at each budget.
fn side_by_side(known: &[(String, (&EvaluationRecord, &EarlyExit))]) -> Table {
    let budgets =
        known.iter().flat_map(|(_, (_, early))| &early.budgets).map(|budget| budget.share);
    let mut shares: Vec<f64> = Vec::new();
    for share in budgets {
        if !shares.contains(&share) {
            shares.push(share);
        }
    }
    let titles = shares.iter().map(|share| Column::number(format!("at {:.0} %", 100.0 * share)));
    let first = [Column::text("Run"), Column::number("Deepest")];
    let mut table = Table::new(first.into_iter().chain(titles));
    for (name, (_, early)) in known {
        let at = |share: &f64| {
            let budget = early.budgets.iter().find(|budget| budget.share == *share)?;
            let choice =
                budget.choices.iter().find(|choice| choice.rule == ExitRule::Confidence)?;
            Some(choice.setting.as_ref()?.test.top1)
        };
        let deepest = or_none(early.deepest(), |deepest| percent(deepest.test.top1));
        let cells = [name.clone(), deepest].into_iter();
        table.push(cells.chain(shares.iter().map(|share| percent_or_none(at(share)))));
    }
    table
}
