//! Experiments: the runs of one configuration, and their scores over the seeds.

use super::model_labels::ModelLabels;
use super::run_names::experiment_names;
use crate::configuration::Settings;
use crate::format::number::{NONE, or_none, percent, points};
use crate::record::{ExitScore, ModelSummary, RunRecord};
use crate::run_folder::Run;
use crate::stats::{deviation, mean};

/// Runs of one configuration, which differ only in their seeds.
#[derive(Debug)]
pub(super) struct Experiment<'a> {
    pub(super) labels: ModelLabels,
    /// A name that no other experiment of the report has.
    pub(super) name: String,
    /// At least one run.
    pub(super) runs: Vec<&'a Run>,
    /// Runs that repeat a seed, which are not counted.
    pub(super) repeated: Vec<&'a Run>,
}

impl<'a> Experiment<'a> {
    /// Groups runs by configuration, in the order of their first runs. Of runs with the same seed
    /// only the first counts: repeated numbers would look like a small deviation.
    pub(super) fn all(runs: impl IntoIterator<Item = &'a Run>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for run in runs {
            let settings = run.config.settings();
            match all.iter_mut().find(|experiment| experiment.settings() == settings) {
                Some(experiment) => {
                    let seed = run.summary.seed;
                    let new = experiment.runs.iter().all(|other| other.summary.seed != seed);
                    if new { experiment.runs.push(run) } else { experiment.repeated.push(run) }
                }
                None => all.push(Self {
                    labels: ModelLabels::new(&run.summary),
                    name: String::new(),
                    runs: vec![run],
                    repeated: Vec::new(),
                }),
            }
        }
        let firsts: Vec<&Run> = all.iter().map(|experiment| experiment.runs[0]).collect();
        for (experiment, name) in all.iter_mut().zip(experiment_names(&firsts)) {
            experiment.name = name;
        }
        all
    }

    /// The configuration that its runs share.
    pub(super) fn settings(&self) -> &'a Settings {
        self.runs[0].config.settings()
    }

    pub(super) fn model(&self) -> Option<&'a ModelSummary> {
        self.record().model_summary.as_ref()
    }

    /// The record of the first run, for what all runs share: names and costs.
    pub(super) fn record(&self) -> &'a RunRecord {
        &self.runs[0].summary
    }

    /// Test top-1 of the exit that `which` selects, for each seed that has it.
    pub(super) fn top1(&self, which: impl Fn(&RunRecord) -> Option<&ExitScore>) -> Vec<f64> {
        self.runs.iter().filter_map(|run| which(&run.summary)?.test_top1).collect()
    }

    /// Test top-1 of the exit of this name, or the ensemble, for each seed that has it.
    pub(super) fn top1_of(&self, name: &str) -> Vec<f64> {
        let named = |run: &Run| run.summary.deployable().find(|exit| exit.name == name);
        self.runs.iter().filter_map(|run| named(run)?.test_top1).collect()
    }

    /// Test top-1 of the deepest exit for each seed.
    pub(super) fn deepest(&self) -> Vec<f64> {
        self.top1(|record| record.exits.last())
    }

    /// Test top-1 of the ensemble for each seed; empty for a network with a single exit.
    pub(super) fn ensemble(&self) -> Vec<f64> {
        let several = self.runs.iter().filter(|run| run.summary.exits.len() > 1);
        several.filter_map(|run| run.summary.ensemble.test_top1).collect()
    }

    /// Top-1 of the deepest exit, as a table cell.
    pub(super) fn deepest_score(&self) -> String {
        score(&self.deepest())
    }

    /// Top-1 of the ensemble and of each of the shallow `exits`, as table cells.
    pub(super) fn scores(&self, exits: &[&str]) -> impl Iterator<Item = String> {
        let shallow = exits.iter().map(|&name| {
            self.top1(|record| record.exits.split_last()?.1.iter().find(|exit| exit.name == name))
        });
        let all: Vec<_> = [self.ensemble()].into_iter().chain(shallow).collect();
        all.into_iter().map(|values| score(&values))
    }

    /// Accuracy gain of the deepest exit over the other's, in points.
    pub(super) fn gain_over(&self, other: Option<&Self>) -> String {
        let gain = || Some(mean(&self.deepest())? - mean(&other?.deepest())?);
        or_none(gain(), points)
    }

    /// The plain dense experiment of the original network with the closest configuration; `None` for
    /// a plain dense network.
    pub(super) fn dense_original<'t, 'b>(
        &self,
        all: &'t [Experiment<'b>],
    ) -> Option<&'t Experiment<'b>> {
        let is_plain_dense =
            |experiment: &Experiment| experiment.model().is_some_and(ModelSummary::is_plain_dense);
        if is_plain_dense(self) {
            return None;
        }
        let same_network = |other: &&Experiment| other.labels.original == self.labels.original;
        self.closest(all.iter().filter(|other| is_plain_dense(other)).filter(same_network))
    }

    /// The one with the closest configuration: the fewest keys that differ.
    pub(super) fn closest<'t, 'b: 't>(
        &self,
        others: impl Iterator<Item = &'t Experiment<'b>>,
    ) -> Option<&'t Experiment<'b>> {
        others.min_by_key(|other| other.settings().differences(self.settings()).len())
    }

    /// `one seed`, or `3 seeds`.
    pub(super) fn seeds(&self) -> String {
        match self.runs.len() {
            1 => "one seed".to_owned(),
            seeds => format!("{seeds} seeds"),
        }
    }
}

/// Validation top-1 of an exit, or the ensemble, after the last epoch.
pub(super) fn valid_top1(run: &Run, exit: &str) -> Option<f64> {
    let valid = run.epochs.last()?.valid.as_ref()?;
    let mut scored = valid.exits.iter().chain([&valid.ensemble]);
    scored.find(|scored| scored.name == exit).map(|scored| scored.top1)
}

/// Names of the shallow exits of the network that has the most.
pub(super) fn shallow_exits<'a>(experiments: &[Experiment<'a>]) -> Vec<&'a str> {
    let most = experiments.iter().map(Experiment::record).max_by_key(|record| record.exits.len());
    let exits =
        most.and_then(|record| record.exits.split_last()).map_or(&[][..], |(_, exits)| exits);
    exits.iter().map(|exit| exit.name.as_str()).collect()
}

/// The accuracy of one seed, or mean ± sample standard deviation over several.
pub(super) fn score(values: &[f64]) -> String {
    match (mean(values), deviation(values)) {
        (None, _) => NONE.to_owned(),
        (Some(mean), None) => percent(mean),
        (Some(mean), Some(deviation)) => {
            format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * deviation)
        }
    }
}
