//! Networks side by side: what each costs, and how accurate every exit is.

use super::recipe::Group;
use super::trial::{Trial, shallow_exits};
use super::{Cell, Column, Element, Section, Table, names};
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

/// How many of a model's words there are, and how many its costs depend on.
const ALL: usize = 5;
const ARCHITECTURE: usize = 4;

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for group in Group::finished(runs)? {
        let what = Words::of(&group.trials);
        elements.push(Element::Heading(group.title.clone()));
        elements.extend(group.notices());
        let lead =
            format!("Test top-1 after the last epoch{}:", what.common(&group.trials[0], ALL));
        elements.push(Element::Paragraph(lead));
        elements.push(Element::Table(accuracies(&group.trials, &what)));
        let common = what.common(&group.trials[0], ARCHITECTURE);
        elements.push(Element::Paragraph(format!("Parameters / MACs for one image{common}:")));
        elements.push(Element::Table(costs(&group.trials, &what)));
        elements.push(Element::Paragraph(group.details));
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(format!("{EXPLANATION} {COSTS}")));
    }
    Ok(elements)
}

/// How the networks of a table are told apart.
struct Words {
    /// Which of [`Model::words`](super::model::Model::words) are columns.
    varying: Vec<usize>,
    /// Whether two trials have the same words, so that their names have to be said.
    named: bool,
}

impl Words {
    fn of(trials: &[Trial]) -> Self {
        let first = trials[0].model.words();
        let same = |index: usize| {
            trials.len() > 1
                && trials.iter().all(|trial| trial.model.words()[index] == first[index])
        };
        let varying = (0..first.len()).filter(|&index| !same(index)).collect();
        let twice =
            |trial: &Trial| trials.iter().filter(|other| other.model == trial.model).count() > 1;
        Self { varying, named: trials.iter().any(twice) }
    }

    /// What is the same in every row, of the first `most` words: `, network vgg11`.
    fn common(&self, trial: &Trial, most: usize) -> String {
        let words = trial.model.words().into_iter().take(most).enumerate();
        let common = words.filter(|(index, word)| !self.varying.contains(index) && word.1 != NONE);
        common.map(|(_, (title, word))| format!(", {} {word}", title.to_lowercase())).collect()
    }

    /// The columns that vary, of the first `most` words.
    fn columns(&self, trial: &Trial, most: usize) -> Vec<Column> {
        let words = trial.model.words();
        self.varying.iter().filter(|&&i| i < most).map(|&i| Column::text(words[i].0)).collect()
    }

    /// A trial's cells in them.
    fn cells(&self, trial: &Trial, most: usize) -> Vec<Cell> {
        let words = trial.model.words();
        self.varying.iter().filter(|&&i| i < most).map(|&i| words[i].1.to_owned()).collect()
    }
}

fn accuracies(trials: &[Trial], what: &Words) -> Table {
    let exits = shallow_exits(trials);
    let first = what.named.then(|| Column::text("Run")).into_iter();
    let deepest = [Column::number("Deepest"), Column::text("Seeds")];
    let others = ["− dense", "− BYOT", "Ensemble"].into_iter().chain(exits.iter().copied());
    let columns = first.chain(what.columns(&trials[0], ALL)).chain(deepest);
    let mut table = Table::new(columns.chain(others.map(Column::number)));
    let names = names::shortened(trials.iter().map(|trial| trial.name.clone()).collect());
    for (trial, name) in trials.iter().zip(names) {
        let first = what.named.then_some(name).into_iter().chain(what.cells(trial, ALL));
        let deepest = [trial.deepest_score(), trial.seeds()];
        let gains = [trial.dense_original(trials), byot(trial, trials)];
        let gains = gains.map(|other| trial.gain_over(other));
        table.push(first.chain(deepest).chain(gains).chain(trial.scores(&exits)));
    }
    table
}

/// The trial with BYOT's exits on the same backbone that differs least; not this one.
fn byot<'t, 'a>(trial: &Trial, trials: &'t [Trial<'a>]) -> Option<&'t Trial<'a>> {
    if trial.model.is_byot() {
        return None;
    }
    let backbone = ["model", "backbone"];
    let baseline = |other: &&Trial| {
        other.model.is_byot() && other.setting.at(&backbone) == trial.setting.at(&backbone)
    };
    trial.nearest(trials.iter().filter(baseline))
}

fn costs(trials: &[Trial], what: &Words) -> Table {
    let exits = shallow_exits(trials);
    let numbers = ["Deployed", "of dense", "Whole framework"];
    let numbers = numbers.into_iter().chain(exits.iter().copied()).map(Column::number);
    let mut table = Table::new(what.columns(&trials[0], ARCHITECTURE).into_iter().chain(numbers));
    for trial in trials {
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
        let cells: Vec<_> =
            what.cells(trial, ARCHITECTURE).into_iter().chain(deployed).chain(exits).collect();
        // What trains differently costs the same.
        if table.rows.iter().all(|row| row.cells != cells) {
            table.push(cells);
        }
    }
    table
}
