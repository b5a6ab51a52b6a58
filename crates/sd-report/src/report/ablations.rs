//! One value at a time: experiments that differ from a base in a single value or choice.

use std::collections::BTreeMap;

use super::experiment::{Experiment, shallow_exits};
use super::recipe::Recipe;
use super::section::Section;
use crate::configuration::Difference;
use crate::document::{Column, Element, Table};
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
    for recipe in Recipe::finished(runs) {
        let mut unseen: Vec<&Experiment> = recipe.experiments.iter().collect();
        while let Some(base) = base(&recipe.experiments, &unseen) {
            let mut tables: BTreeMap<String, Values> = BTreeMap::new();
            for experiment in &recipe.experiments {
                if let Some(Difference { key, values: [was, is], .. }) =
                    difference(base, experiment)
                {
                    let (_, values) = tables.entry(key).or_insert((was, Vec::new()));
                    values.push((is, experiment));
                }
            }
            tables.retain(|_, (_, values)| {
                values.iter().any(|(_, experiment)| among(&unseen, experiment))
            });
            let values = tables.values().flat_map(|(_, values)| values);
            let seen: Vec<_> = values.map(|(_, experiment)| *experiment).chain([base]).collect();
            unseen.retain(|experiment| !among(&seen, experiment));
            elements.push(Element::Heading(format!("{}; base: {}", recipe.title, base.name)));
            elements.extend(recipe.notices());
            for (key, (was, mut values)) in tables {
                values.push((format!("{was} (base)"), base));
                values.sort_by(|(a, _), (b, _)| number(a).total_cmp(&number(b)));
                elements.push(Element::Table(table(&key, base, &values, &recipe)));
            }
        }
    }
    if !elements.is_empty() {
        elements.push(Element::Paragraph(EXPLANATION.to_owned()));
    }
    Ok(elements)
}

/// The base's value of a key, and the others' with the experiments that have them.
type Values<'t, 'a> = (String, Vec<(String, &'t Experiment<'a>)>);

/// The experiment from which most of the unseen differ in one value, of equals that from which most
/// differ in one value or choice, the first of several; none if all unseen are alone.
fn base<'t, 'a>(
    experiments: &'t [Experiment<'a>],
    unseen: &[&Experiment],
) -> Option<&'t Experiment<'a>> {
    let near = |experiment: &Experiment| {
        let found: Vec<_> =
            unseen.iter().filter_map(|other| difference(experiment, other)).collect();
        (found.iter().filter(|difference| !difference.replaces_variant).count(), found.len())
    };
    let counted = experiments.iter().map(|experiment| (near(experiment), experiment));
    let most = counted.reduce(|most, next| if next.0 > most.0 { next } else { most })?;
    (most.0.1 > 0).then_some(most.1)
}

fn among(experiments: &[&Experiment], experiment: &Experiment) -> bool {
    experiments.iter().any(|other| std::ptr::eq(*other, experiment))
}

/// The only difference of two experiments of one network.
fn difference(base: &Experiment, other: &Experiment) -> Option<Difference> {
    if base.labels.network != other.labels.network {
        return None;
    }
    let mut differences = base.settings().differences(other.settings());
    let only = differences.pop()?;
    differences.is_empty().then_some(only)
}

fn table(key: &str, base: &Experiment, values: &[(String, &Experiment)], recipe: &Recipe) -> Table {
    let exits = shallow_exits(&recipe.experiments);
    let deepest = [Column::text(key), Column::number("Deepest"), Column::text("Seeds")];
    let others = ["− base", "Ensemble"].into_iter().chain(exits.iter().copied());
    let mut table = Table::new(deepest.into_iter().chain(others.map(Column::number)));
    for (value, experiment) in values {
        let is_base = std::ptr::eq(*experiment, base);
        let gain = experiment.gain_over((!is_base).then_some(base));
        let cells = [value.clone(), experiment.deepest_score(), experiment.seeds(), gain];
        let cells = cells.into_iter().chain(experiment.scores(&exits));
        if is_base { table.push_strong(cells) } else { table.push(cells) }
    }
    table
}

/// What to sort by: numbers by size, before labels, which stay as they are.
fn number(value: &str) -> f64 {
    let first = value.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(f64::INFINITY)
}
