//! Networks side by side: what each costs, and how accurate every exit is.

use super::recipe::Group;
use super::setting::variant;
use super::trial::{Trial, shallow_exits};
use super::words::{ALL, ARCHITECTURE, Words};
use super::{Column, Element, Section, Table};
use crate::error::Result;
use crate::format::number::{NONE, count, share};
use crate::record::Cost;
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "comparison", title: "Comparison", build };

const EXPLANATION: &str = "Only runs of one recipe stand in one table. Accuracies are of one seed, \
    or the mean ± sample standard deviation over several. − dense and − BYOT are how much more \
    accurate the deepest exit is, in points, than that of the dense plain original of the network, \
    and than that of the same backbone with BYOT's exits; where there are several of these, than \
    the one whose configuration differs least. A difference of single seeds may be the seeds'. \
    exit1 is a network's first exit, whatever stage it is on.";

const COSTS: &str = "Deployed is the network up to its deepest exit, without the others; framework \
    is with every exit, as trained; each exit's column is the network that ends there.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for group in Group::finished(runs)? {
        elements.push(Element::Heading(group.title.clone()));
        elements.extend(group.notices());
        let words = Words::of(&group.trials, ALL).named(&group.trials);
        let lead = format!("Test top-1 after the last epoch{}:", words.common);
        elements.push(Element::Paragraph(lead));
        elements.push(Element::Table(accuracies(&group.trials, words)));
        let words = Words::of(&group.trials, ARCHITECTURE);
        let lead = format!("Parameters / MACs for one image{}:", words.common);
        elements.push(Element::Paragraph(lead));
        elements.push(Element::Table(costs(&group.trials, words)));
        elements.push(Element::Paragraph(group.details));
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(format!("{EXPLANATION} {COSTS}")));
    }
    Ok(elements)
}

fn accuracies(trials: &[Trial], words: Words) -> Table {
    let exits = shallow_exits(trials);
    let deepest = [Column::number("Deepest"), Column::text("Seeds")];
    let others = ["− dense", "− BYOT", "Ensemble"].into_iter().chain(exits.iter().copied());
    let columns = words.columns.into_iter().chain(deepest);
    let mut table = Table::new(columns.chain(others.map(Column::number)));
    for (trial, first) in trials.iter().zip(words.rows) {
        let deepest = [trial.deepest_score(), trial.seeds()];
        let gains = [trial.dense_original(trials), byot(trial, trials)];
        let gains = gains.map(|other| trial.gain_over(other));
        table.push(first.into_iter().chain(deepest).chain(gains).chain(trial.scores(&exits)));
    }
    table
}

/// The trial with BYOT's exits on the same backbone that differs least; not this one.
fn byot<'t, 'a>(trial: &Trial, trials: &'t [Trial<'a>]) -> Option<&'t Trial<'a>> {
    if is_byot(trial) {
        return None;
    }
    let backbone = ["model", "backbone"];
    let baseline = |other: &&Trial| {
        is_byot(other) && other.setting.at(&backbone) == trial.setting.at(&backbone)
    };
    trial.nearest(trials.iter().filter(baseline))
}

/// Whether it has BYOT's exits and distils into them.
fn is_byot(trial: &Trial) -> bool {
    let kind = |path: &[&str]| trial.setting.at(path).and_then(variant).map(|(name, _)| name);
    let objectives = [Some("self_distillation"), Some("byot")];
    kind(&["model", "exits", "kind"]) == Some("byot") && objectives.contains(&kind(&["objective"]))
}

fn costs(trials: &[Trial], words: Words) -> Table {
    let exits = shallow_exits(trials);
    let numbers = ["Deployed", "of dense", "Whole framework"];
    let numbers = numbers.into_iter().chain(exits.iter().copied()).map(Column::number);
    let mut table = Table::new(words.columns.into_iter().chain(numbers));
    for (trial, first) in trials.iter().zip(words.rows) {
        let record = trial.record();
        let both = |cost: Cost| format!("{} / {}", count(cost.params), count(cost.macs));
        let of_dense = record.dense_original.map_or_else(
            || NONE.to_owned(),
            |dense| {
                let Cost { params, macs } = record.deployed;
                format!("{} / {}", share(params, dense.params), share(macs, dense.macs))
            },
        );
        let deployed = [both(record.deployed), of_dense, both(record.framework)];
        let shallow = record.exits.split_last().map_or(&[][..], |(_, shallow)| shallow);
        let exits = exits.iter().map(|name| {
            let exit = shallow.iter().find(|exit| exit.name == *name);
            exit.map_or_else(
                || NONE.to_owned(),
                |exit| both(Cost { params: exit.params, macs: exit.macs }),
            )
        });
        let cells: Vec<_> = first.into_iter().chain(deployed).chain(exits).collect();
        // What trains differently costs the same.
        if table.rows.iter().all(|row| row.cells != cells) {
            table.push(cells);
        }
    }
    table
}
