//! A configuration with all the runs of it, and how it scored.

use super::model::Model;
use super::names::trial_names;
use super::setting::Setting;
use crate::error::Result;
use crate::format::number::{NONE, percent, points};
use crate::record::{ExitScore, RunRecord};
use crate::run_folder::Run;
use crate::stats::{deviation, mean};

/// A configuration and its runs, which differ in their seeds alone.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) setting: Setting,
    pub(super) model: Model,
    /// What tells it from the others.
    pub(super) name: String,
    /// At least one.
    pub(super) runs: Vec<&'a Run>,
    /// Those that repeat a seed, which count for nothing.
    pub(super) repeated: Vec<&'a Run>,
}

impl<'a> Trial<'a> {
    /// The runs by configuration, in the order of their first ones. Of runs with the same seed the
    /// first counts: a repetition of the same numbers would pass for a small deviation.
    ///
    /// # Errors
    /// Where a configuration is not TOML.
    pub(super) fn all(runs: impl IntoIterator<Item = &'a Run>) -> Result<Vec<Self>> {
        let mut trials: Vec<Self> = Vec::new();
        for run in runs {
            let setting = Setting::of(run)?;
            match trials.iter_mut().find(|trial| trial.setting == setting) {
                Some(trial) => {
                    let seed = run.summary.seed;
                    let new = trial.runs.iter().all(|other| other.summary.seed != seed);
                    if new { trial.runs.push(run) } else { trial.repeated.push(run) }
                }
                None => {
                    let (model, name) = (Model::of(&setting), String::new());
                    let (runs, repeated) = (vec![run], Vec::new());
                    trials.push(Self { setting, model, name, runs, repeated });
                }
            }
        }
        let firsts: Vec<&Run> = trials.iter().map(|trial| trial.runs[0]).collect();
        for (trial, name) in trials.iter_mut().zip(trial_names(&firsts)) {
            trial.name = name;
        }
        Ok(trials)
    }

    /// The record of the first run, for what is the same in all: names and costs.
    pub(super) fn record(&self) -> &'a RunRecord {
        &self.runs[0].summary
    }

    /// Test top-1 of the exit that `which` finds, of each seed that has it.
    pub(super) fn top1(&self, which: impl Fn(&RunRecord) -> Option<&ExitScore>) -> Vec<f64> {
        self.runs.iter().filter_map(|run| which(&run.summary)?.test_top1).collect()
    }

    pub(super) fn deepest(&self) -> Vec<f64> {
        self.top1(|record| record.exits.last())
    }

    /// Of a network with a single exit there is no ensemble.
    pub(super) fn ensemble(&self) -> Vec<f64> {
        let several = self.runs.iter().filter(|run| run.summary.exits.len() > 1);
        several.filter_map(|run| run.summary.ensemble.test_top1).collect()
    }

    /// Top-1 of the deepest exit.
    pub(super) fn deepest_score(&self) -> String {
        score(&self.deepest())
    }

    /// Top-1 of the ensemble, and of each shallow exit of `exits`; none where there is no such one.
    pub(super) fn scores(&self, exits: &[&str]) -> impl Iterator<Item = String> {
        let shallow = exits.iter().map(|&name| {
            self.top1(|record| record.exits.split_last()?.1.iter().find(|exit| exit.name == name))
        });
        let all: Vec<_> = [self.ensemble()].into_iter().chain(shallow).collect();
        all.into_iter().map(|values| score(&values))
    }

    /// How much more accurate its deepest exit is than the other's.
    pub(super) fn gain_over(&self, other: Option<&Self>) -> String {
        let gain = || Some(mean(&self.deepest())? - mean(&other?.deepest())?);
        gain().map_or_else(|| NONE.to_owned(), points)
    }

    /// The plain dense trial of the same network that differs least from this one; not this one.
    pub(super) fn dense_original<'t, 'b>(&self, trials: &'t [Trial<'b>]) -> Option<&'t Trial<'b>> {
        if self.model.is_plain_dense() {
            return None;
        }
        let original = |other: &&Trial| {
            other.model.is_plain_dense() && other.model.network == self.model.network
        };
        self.nearest(trials.iter().filter(original))
    }

    /// The one whose configuration differs least.
    pub(super) fn nearest<'t, 'b: 't>(
        &self,
        others: impl Iterator<Item = &'t Trial<'b>>,
    ) -> Option<&'t Trial<'b>> {
        others.min_by_key(|other| other.setting.differences(&self.setting).len())
    }

    /// `one seed`, or `3 seeds`.
    pub(super) fn seeds(&self) -> String {
        match self.runs.len() {
            1 => "one seed".to_owned(),
            seeds => format!("{seeds} seeds"),
        }
    }
}

/// Validation top-1 of an exit after the last epoch.
pub(super) fn valid_top1(run: &Run, exit: &str) -> Option<f64> {
    let valid = run.epochs.last()?.valid.as_ref()?;
    valid.exits.iter().find(|scored| scored.name == exit).map(|scored| scored.top1)
}

/// Names of all shallow exits, in the order of the network that has the most.
pub(super) fn shallow_exits<'a>(trials: &[Trial<'a>]) -> Vec<&'a str> {
    let most = trials.iter().map(Trial::record).max_by_key(|record| record.exits.len());
    let exits =
        most.and_then(|record| record.exits.split_last()).map_or(&[][..], |(_, exits)| exits);
    exits.iter().map(|exit| exit.name.as_str()).collect()
}

/// An accuracy of one seed, or the mean and the sample standard deviation of several.
pub(super) fn score(values: &[f64]) -> String {
    match (mean(values), deviation(values)) {
        (None, _) => NONE.to_owned(),
        (Some(mean), None) => percent(mean),
        (Some(mean), Some(deviation)) => {
            format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * deviation)
        }
    }
}
