//! Groups of trials that may be compared: those trained alike.

use super::setting::{Setting, text};
use super::trial::Trial;
use crate::error::Result;
use crate::run_folder::Run;

/// Trials of one recipe: the same images, split and augmentation, epochs, batch, optimiser and
/// schedule.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// The recipe in short.
    pub(super) title: String,
    /// The recipe in full.
    pub(super) details: String,
    /// By network and convolution, plain before its frameworks.
    pub(super) trials: Vec<Trial<'a>>,
}

impl<'a> Group<'a> {
    /// The finished runs by recipe, in the order of their first ones.
    ///
    /// # Errors
    /// Where a configuration is not TOML.
    pub(super) fn all(runs: &'a [Run]) -> Result<Vec<Self>> {
        let mut groups: Vec<(Setting, Self)> = Vec::new();
        for trial in Trial::finished(runs)? {
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
        Ok(groups.into_iter().map(sorted).collect())
    }
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
