//! Several runs: which exit or ensemble to deploy, and how it compares with the dense original.

use super::{FIGURE, costs, distance, exit_name};
use crate::figure::Plot;
use crate::record::{ExitScore, ModelSummary};
use crate::report::deploy_choice::{is_small, worth_deploying};
use crate::report::experiment::{Experiment, score};
use crate::report::frontier;
use crate::report::recipe::Recipe;
use crate::run_folder::Run;
use crate::stats::mean;

/// The exit or ensemble to deploy among the experiments of a recipe.
struct Choice<'t, 'a> {
    experiment: &'t Experiment<'a>,
    exit: ExitScore,
    dense: Option<&'t Experiment<'a>>,
}

pub(super) fn paragraphs(runs: &[Run]) -> Vec<String> {
    let recipes = Recipe::finished(runs);
    let paragraph = |recipe: &Recipe| {
        let text = Choice::of(recipe).map_or_else(
            || "No exit can be chosen without a validation split.".to_owned(),
            |choice| choice.text(),
        );
        if recipes.len() == 1 { text } else { format!("{}: {text}", recipe.title) }
    };
    match recipes.len() {
        0 => vec!["None of these runs has finished: there is nothing to compare yet.".to_owned()],
        _ => recipes.iter().map(paragraph).collect(),
    }
}

/// The network to deploy and its dense original, with the other networks of the first recipe.
pub(super) fn plot(runs: &[Run]) -> Option<Plot> {
    let recipes = Recipe::finished(runs);
    let (recipe, choice) = recipes.iter().find_map(|recipe| Some((recipe, Choice::of(recipe)?)))?;
    let shown: Vec<_> = [choice.experiment].into_iter().chain(choice.dense).collect();
    let plot = frontier::highlight(&recipe.experiments, &shown, &choice.exit);
    Some(Plot { name: FIGURE.to_owned(), ..plot })
}

impl<'t, 'a> Choice<'t, 'a> {
    /// The one with the highest validation accuracy: among compressed networks if there are some,
    /// else among networks with exits, else among all.
    fn of(recipe: &'t Recipe<'a>) -> Option<Self> {
        let all = &recipe.experiments;
        let is_plain =
            |experiment: &Experiment| experiment.model().is_some_and(ModelSummary::is_plain_dense);
        let worth = all.iter().enumerate().flat_map(|(index, experiment)| {
            let exits = worth_deploying(experiment).into_iter();
            exits.map(move |(exit, valid)| (index, exit, mean(&valid).unwrap_or(0.0)))
        });
        let rank = |(index, exit, valid): &(usize, ExitScore, f64)| {
            let experiment = &all[*index];
            (!is_plain(experiment), is_small(experiment, exit), *valid)
        };
        let best = |best, next| if rank(&next) > rank(&best) { next } else { best };
        let (index, exit, _) = worth.reduce(best)?;
        Some(Self { experiment: &all[index], exit, dense: all[index].dense_original(all) })
    }

    fn text(&self) -> String {
        let Self { experiment, exit, dense } = self;
        let test = self.test();
        let costs = costs(exit, experiment.record().dense_original);
        let deploy = format!("{} of {}", exit_name(&exit.name), experiment.name);
        let Some(dense) = dense else {
            let missing = if experiment.model().is_some_and(ModelSummary::is_plain_dense) {
                "Nothing is compressed: all networks are dense."
            } else {
                "The dense original is not among these runs, so the loss of accuracy is unknown."
            };
            let test = score(&test);
            return format!("{missing} Deploy {deploy}: {test} test accuracy with {costs}.");
        };
        let original = dense.deepest();
        let difference = mean(&test).zip(mean(&original)).map(|(test, original)| test - original);
        let is_dense = experiment.model().is_some_and(|model| model.backbone.is_dense);
        let subject = if is_dense { "The network with exits" } else { "The compressed network" };
        let compared = match difference.map(|difference| (distance(difference), difference < 0.0)) {
            None => format!("{subject} was not tested beside its dense original"),
            Some((None, _)) => format!("{subject} is as accurate as its dense original"),
            Some((Some(points), true)) => format!("{subject} is {points} below its dense original"),
            Some((Some(points), false)) => {
                format!("{subject} is {points} above its dense original")
            }
        };
        let noise = if test.len() < 2 || original.len() < 2 {
            " The difference may be noise: at least one of the two has a single seed."
        } else {
            ""
        };
        format!(
            "{compared}: {deploy} reaches {} test accuracy, {} {}.{noise} \
             Validation chose it. It has {costs}.",
            score(&test),
            dense.name,
            score(&original)
        )
    }

    /// Its test top-1 for each seed.
    fn test(&self) -> Vec<f64> {
        self.experiment.top1_of(&self.exit.name)
    }
}
