//! Groups of trials that may be compared: those trained alike.

use std::collections::{BTreeMap, BTreeSet};

use super::Element;
use super::setting::{Difference, Setting, text};
use super::trial::Trial;
use crate::error::Result;
use crate::record::Status;
use crate::run_folder::Run;

/// Trials of one recipe: the same images, split and augmentation, epochs, batch, optimiser and
/// schedule.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// The recipe in short, and in what it differs where another of the groups reads the same.
    pub(super) title: String,
    /// The recipe in full.
    pub(super) details: String,
    /// By network and convolution, plain before its frameworks.
    pub(super) trials: Vec<Trial<'a>>,
}

impl<'a> Group<'a> {
    /// The finished runs by recipe, in the order of their first ones: the scores of others are no
    /// result.
    ///
    /// # Errors
    /// Where a configuration is not TOML.
    pub(super) fn finished(runs: &'a [Run]) -> Result<Vec<Self>> {
        Self::of(runs.iter().filter(|run| run.summary.status == Status::Finished))
    }

    /// The runs by recipe, in the order of their first ones.
    ///
    /// # Errors
    /// Where a configuration is not TOML.
    pub(super) fn of(runs: impl IntoIterator<Item = &'a Run>) -> Result<Vec<Self>> {
        let mut groups: Vec<(Setting, Self)> = Vec::new();
        for trial in Trial::all(runs)? {
            let recipe = trial.setting.part(&["data", "train"]);
            match groups.iter_mut().find(|(known, _)| *known == recipe) {
                Some((_, group)) => group.trials.push(trial),
                None => {
                    let (title, details) = (title(&trial), format!("Recipe: {recipe}."));
                    groups.push((recipe, Self { title, details, trials: vec![trial] }));
                }
            }
        }
        let sorted = |(_, mut group): (Setting, Self)| {
            group.trials.sort_by_cached_key(|trial| trial.model.order());
            group
        };
        let titles = titles(&groups);
        let groups = groups.into_iter().map(sorted).zip(titles);
        Ok(groups.map(|(group, title)| Self { title, ..group }).collect())
    }

    /// What a reader of its numbers has to know.
    pub(super) fn notices(&self) -> impl Iterator<Item = Element> {
        self.formats().into_iter().chain(self.repeated()).map(Element::Notice)
    }

    /// The number formats of the runs, where there are several.
    fn formats(&self) -> Option<String> {
        let runs = self.trials.iter().flat_map(|trial| &trial.runs);
        let formats = runs.filter_map(|run| Some(run.environment.as_ref()?.precision.as_str()));
        let formats: BTreeSet<&str> = formats.collect();
        (formats.len() > 1).then(|| {
            let formats: Vec<_> = formats.into_iter().collect();
            format!("These runs were computed in {}, which may differ.", formats.join(" and "))
        })
    }

    /// The runs that count for nothing, where there are some.
    fn repeated(&self) -> Option<String> {
        let repeated = self.trials.iter().flat_map(|trial| &trial.repeated);
        let folders: Vec<_> = repeated.map(|run| run.folder.display().to_string()).collect();
        (!folders.is_empty()).then(|| {
            let folders = folders.join(", ");
            format!("Left out, for an earlier run has the same configuration and seed: {folders}.")
        })
    }
}

/// The groups' titles; those that read the same go on with the values in which they differ.
fn titles(groups: &[(Setting, Group)]) -> Vec<String> {
    let title = |(recipe, group): &(Setting, Group)| {
        let alike = groups.iter().filter(|(_, other)| other.title == group.title);
        let differences = alike.flat_map(|(other, _)| recipe.differences(other));
        // Of a key in which it differs from several it has one value.
        let values: BTreeMap<_, _> =
            differences.map(|Difference { key, values: [is, _], .. }| (key, is)).collect();
        let values = values.iter().map(|(key, value)| format!(", {key} {value}"));
        values.fold(group.title.clone(), |title, value| title + &value)
    };
    groups.iter().map(title).collect()
}

/// What the names of a group's figures end with: nothing in the first, which documents link to.
pub(super) fn figure_number(group: usize) -> String {
    if group == 0 { String::new() } else { format!("-{}", group + 1) }
}

fn title(trial: &Trial) -> String {
    let value = |key: &str| trial.setting.at(&["train", key]).map(text);
    let record = trial.record();
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
