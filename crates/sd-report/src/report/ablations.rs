//! One value at a time: trials that differ from a base in a single value or choice.

use std::collections::BTreeMap;

use super::recipe::Group;
use super::setting::Difference;
use super::trial::{Trial, shallow_exits};
use super::{Column, Element, Section, Table};
use crate::error::Result;
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "ablations", title: "Ablations", build };

const EXPLANATION: &str = "Each table changes one value of its base, or one choice with the values \
    that it alone has. Test top-1 after the last epoch; differences to the base are of the deepest \
    exit, in points, and may be the seeds' where there is one seed. A base is the configuration \
    from which most of those that are in no table before differ so.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if runs.len() < 2 {
        return Ok(elements);
    }
    for group in Group::finished(runs)? {
        let mut unseen: Vec<&Trial> = group.trials.iter().collect();
        while let Some(base) = base(&group.trials, &unseen) {
            let mut tables: BTreeMap<String, Values> = BTreeMap::new();
            for trial in &group.trials {
                if let Some(Difference { key, values: [was, is], .. }) = difference(base, trial) {
                    let (_, values) = tables.entry(key).or_insert((was, Vec::new()));
                    values.push((is, trial));
                }
            }
            tables.retain(|_, (_, values)| values.iter().any(|(_, trial)| among(&unseen, trial)));
            let values = tables.values().flat_map(|(_, values)| values);
            let seen: Vec<_> = values.map(|(_, trial)| *trial).chain([base]).collect();
            unseen.retain(|trial| !among(&seen, trial));
            elements.push(Element::Heading(format!("{}; base: {}", group.title, base.name)));
            elements.extend(group.notices());
            for (key, (was, mut values)) in tables {
                values.push((format!("{was} (base)"), base));
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

/// The base's value of a key, and the others' with the trials that have them.
type Values<'t, 'a> = (String, Vec<(String, &'t Trial<'a>)>);

/// The trial from which most of the unseen differ in one value, of equals that from which most
/// differ in one value or choice, the first of several; none if all unseen are alone.
fn base<'t, 'a>(trials: &'t [Trial<'a>], unseen: &[&Trial]) -> Option<&'t Trial<'a>> {
    let near = |trial: &Trial| {
        let found: Vec<_> = unseen.iter().filter_map(|other| difference(trial, other)).collect();
        (found.iter().filter(|difference| !difference.exchanged).count(), found.len())
    };
    let counted = trials.iter().map(|trial| (near(trial), trial));
    let most = counted.reduce(|most, next| if next.0 > most.0 { next } else { most })?;
    (most.0.1 > 0).then_some(most.1)
}

fn among(trials: &[&Trial], trial: &Trial) -> bool {
    trials.iter().any(|other| std::ptr::eq(*other, trial))
}

/// The only difference of two trials of one network.
fn difference(base: &Trial, other: &Trial) -> Option<Difference> {
    if base.model.network != other.model.network {
        return None;
    }
    let mut differences = base.setting.differences(&other.setting);
    let only = differences.pop()?;
    differences.is_empty().then_some(only)
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
