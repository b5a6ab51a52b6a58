//! Recipes: experiments that were trained alike and may be compared.

use std::collections::{BTreeMap, BTreeSet};

use super::experiment::Experiment;
use super::model_labels;
use crate::configuration::{Difference, Settings, short_text};
use crate::document::Element;
use crate::record::Status;
use crate::run_folder::Run;

/// Experiments with the same images, split, augmentation, epochs, batch size, optimiser and schedule.
#[derive(Debug)]
pub(super) struct Recipe<'a> {
    /// The recipe in short, with the values that tell it from other recipes of the same title.
    pub(super) title: String,
    /// The recipe in full.
    pub(super) details: String,
    /// Sorted by network and convolution, plain networks before those with exits.
    pub(super) experiments: Vec<Experiment<'a>>,
}

impl<'a> Recipe<'a> {
    /// Groups the finished runs by recipe. Scores of other runs are not results.
    pub(super) fn finished(runs: &'a [Run]) -> Vec<Self> {
        Self::all(runs.iter().filter(|run| run.summary.status == Status::Finished))
    }

    /// Groups runs by recipe, in the order of their first runs.
    pub(super) fn all(runs: impl IntoIterator<Item = &'a Run>) -> Vec<Self> {
        let mut all: Vec<(Settings, Self)> = Vec::new();
        for experiment in Experiment::all(runs) {
            let settings = experiment.settings().sections(&["data", "train"]);
            match all.iter_mut().find(|(known, _)| *known == settings) {
                Some((_, recipe)) => recipe.experiments.push(experiment),
                None => {
                    let title = title(&experiment);
                    let details = format!("Recipe: {settings}.");
                    all.push((settings, Self { title, details, experiments: vec![experiment] }));
                }
            }
        }
        let titles = titles(&all);
        let sorted = |((_, mut recipe), title): ((Settings, Self), String)| {
            let key = |experiment: &Experiment| model_labels::sort_key(experiment.record());
            recipe.experiments.sort_by_cached_key(key);
            Self { title, ..recipe }
        };
        all.into_iter().zip(titles).map(sorted).collect()
    }

    /// Caveats for readers of its numbers.
    pub(super) fn notices(&self) -> impl Iterator<Item = Element> {
        self.formats().into_iter().chain(self.repeated()).map(Element::Notice)
    }

    /// The number formats of the runs, if there are several.
    fn formats(&self) -> Option<String> {
        let runs = self.experiments.iter().flat_map(|experiment| &experiment.runs);
        let formats = runs.filter_map(|run| Some(run.environment.as_ref()?.precision.as_str()));
        let formats: BTreeSet<&str> = formats.collect();
        (formats.len() > 1).then(|| {
            let formats: Vec<_> = formats.into_iter().collect();
            format!("These runs were computed in {}, which may differ.", formats.join(" and "))
        })
    }

    /// The runs that are not counted, if any.
    fn repeated(&self) -> Option<String> {
        let repeated = self.experiments.iter().flat_map(|experiment| &experiment.repeated);
        let folders: Vec<_> = repeated.map(|run| run.folder.display().to_string()).collect();
        (!folders.is_empty()).then(|| {
            let folders = folders.join(", ");
            format!(
                "Left out, since an earlier run has the same configuration and seed: {folders}."
            )
        })
    }
}

/// The titles of the recipes. Recipes with the same title get the values in which they differ.
fn titles(all: &[(Settings, Recipe)]) -> Vec<String> {
    let title = |(settings, recipe): &(Settings, Recipe)| {
        let alike = all.iter().filter(|(_, other)| other.title == recipe.title);
        let differences = alike.flat_map(|(other, _)| settings.differences(other));
        let values: BTreeMap<_, _> =
            differences.map(|Difference { key, values: [value, _], .. }| (key, value)).collect();
        let values = values.iter().map(|(key, value)| format!(", {key} {value}"));
        values.fold(recipe.title.clone(), |title, value| title + &value)
    };
    all.iter().map(title).collect()
}

/// Suffix of the figure names of a recipe: empty for the first, which documents link to.
pub(super) fn figure_suffix(recipe: usize) -> String {
    if recipe == 0 { String::new() } else { format!("-{}", recipe + 1) }
}

fn title(experiment: &Experiment) -> String {
    let value = |key: &str| experiment.settings().at(&["train", key]).map(short_text);
    let record = experiment.record();
    let epochs = value("epochs").unwrap_or_else(|| record.epochs.to_string());
    let plural = if epochs == "1" { "" } else { "s" };
    let mut title = format!("{}, {epochs} epoch{plural}", record.dataset);
    if let Some(batch) = value("batch_size") {
        title += &format!(", batch {batch}");
    }
    if let Some(schedule) = value("schedule") {
        title += &format!(", {schedule}");
    }
    title
}
