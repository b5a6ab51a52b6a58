//! One value at a time: trials that differ from a base in a single key.

use std::collections::BTreeMap;

use super::recipe::Group;
use super::trial::{Trial, shallow_exits};
use super::{Column, Element, Section, Table};
use crate::error::Result;
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "ablations", title: "Ablations", build };

const EXPLANATION: &str = "Each table changes one value of its base, and nothing else. Test top-1 \
    after the last epoch; differences to the base are of the deepest exit, in points. The base of a \
    recipe is the configuration from which most others differ in one value.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for group in Group::all(runs)? {
        let mut rest: Vec<&Trial> = group.trials.iter().collect();
        while let Some(base) = base(&rest) {
            let mut by_key: BTreeMap<String, Vec<(String, &Trial)>> = BTreeMap::new();
            let mut value_of_base = BTreeMap::new();
            rest.retain(|trial| {
                if let Some((key, [was, is])) = single_difference(base, trial) {
                    value_of_base.insert(key.clone(), was);
                    by_key.entry(key).or_default().push((is, trial));
                    return false;
                }
                !std::ptr::eq(*trial, base)
            });
            elements.push(Element::Heading(format!("{}; base: {}", group.title, base.name)));
            for (key, mut values) in by_key {
                values.push((format!("{} (base)", value_of_base[&key]), base));
                values.sort_by(|(a, _), (b, _)| number(a).total_cmp(&number(b)));
                elements.push(Element::Table(table(&key, base, &values, &group)));
            }
        }
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// The trial with the most others one value away, the first of several; none if all are alone.
fn base<'t, 'a>(trials: &[&'t Trial<'a>]) -> Option<&'t Trial<'a>> {
    let others = |trial: &Trial| {
        trials.iter().filter(|other| single_difference(trial, other).is_some()).count()
    };
    let counted = trials.iter().map(|trial| (others(trial), *trial));
    let most = counted.reduce(|most, next| if next.0 > most.0 { next } else { most })?;
    (most.0 > 0).then_some(most.1)
}

/// The only key in which two trials of one network differ, with both values.
fn single_difference(base: &Trial, other: &Trial) -> Option<(String, [String; 2])> {
    if base.model.network != other.model.network {
        return None;
    }
    match base.setting.differences(&other.setting).as_slice() {
        [only] => Some((only.key.clone(), only.values.clone())),
        _ => None,
    }
}

fn table(key: &str, base: &Trial, values: &[(String, &Trial)], group: &Group) -> Table {
    let exits = shallow_exits(&group.trials);
    let deepest = [Column::text(key), Column::number("Deepest"), Column::text("Seeds")];
    let others = ["− base", "Ensemble"].into_iter().chain(exits.iter().copied());
    let mut table = Table::new(deepest.into_iter().chain(others.map(Column::number)));
    for (value, trial) in values {
        let is_base = std::ptr::eq(*trial, base);
        let gain = trial.gain_over((!is_base).then_some(base));
        let cells = [value.clone(), trial.deepest_score(), trial.seeds(), gain];
        let cells = cells.into_iter().chain(trial.scores(&exits));
        if is_base { table.push_strong(cells) } else { table.push(cells) }
    }
    table
}

/// What to sort by: numbers by size, before words, which stay as they are.
fn number(value: &str) -> f64 {
    let first = value.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(f64::INFINITY)
}
