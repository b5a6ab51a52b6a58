//! Training curves.

use std::collections::BTreeSet;

use super::experiment::Experiment;
use super::recipe::{Recipe, figure_suffix};
use super::run_names::{names, shortened};
use super::section::Section;
use crate::document::Element;
use crate::error::Result;
use crate::figure::{Line, Plot, Range, Ticks};
use crate::record::{ENSEMBLE, EpochRecord, ExitAccuracy};
use crate::run_folder::Run;

pub(super) const SECTION: Section = Section { id: "curves", title: "Training", build };

const EXPLANATION: &str = "Losses are sums over the exits: they compare only between runs with the same \
    objective and exits.";

fn build(runs: &[Run]) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    if let [run] = runs {
        elements.extend(Element::drawn(of_one(&run.epochs))?);
    } else {
        // A run without epochs would leave its experiment without a mean curve.
        let groups = Recipe::all(runs.iter().filter(|run| !run.epochs.is_empty()));
        for (index, recipe) in groups.iter().enumerate() {
            let plots = of_several(&recipe.experiments, &figure_suffix(index));
            if let Some(figures) = Element::drawn(plots)? {
                elements.push(Element::Heading(recipe.title.clone()));
                elements.push(figures);
            }
        }
        if !elements.is_empty() {
            elements.push(Element::Paragraph(EXPLANATION.to_owned()));
        }
    }
    for (run, name) in runs.iter().zip(names(runs)) {
        let prefix = if runs.len() == 1 { String::new() } else { format!("{name}: ") };
        let broken: Vec<_> = run.epochs.iter().filter(|epoch| !epoch.loss.is_finite()).collect();
        if let Some(first) = broken.first() {
            elements.push(Element::Notice(format!(
                "{prefix}the training loss was not finite in {} of {} epochs, first in epoch {}.",
                broken.len(),
                run.epochs.len(),
                first.epoch,
            )));
        }
        if run.epochs_truncated {
            elements.push(Element::Notice(format!(
                "{prefix}epochs.jsonl ends in an incomplete line, which is ignored."
            )));
        }
    }
    Ok(elements)
}

/// Accuracy of each exit and the ensemble over the epochs.
pub(super) fn accuracy(epochs: &[EpochRecord]) -> Plot {
    let (split, accuracies) = accuracies(epochs);
    let latest = accuracies.last().map(|(_, exits)| exits.as_slice()).unwrap_or_default();
    let mut accuracy: Vec<_> = (0..latest.len())
        .map(|index| Line {
            name: latest[index].name.clone(),
            points: accuracies
                .iter()
                .map(|(epoch, exits)| (*epoch, exits.get(index).map_or(f64::NAN, |exit| exit.top1)))
                .collect(),
            dots: vec![],
            strong: index + 1 == latest.len(),
        })
        .collect();
    let ensemble: Vec<_> = epochs
        .iter()
        .filter_map(|epoch| Some((epoch.epoch as f64, epoch.valid.as_ref()?.ensemble.top1)))
        .collect();
    if !ensemble.is_empty() {
        accuracy.push(Line {
            name: ENSEMBLE.to_owned(),
            points: ensemble,
            dots: vec![],
            strong: false,
        });
    }
    over_epochs("accuracy", format!("{split} top-1"), Ticks::Percent, accuracy)
}

fn of_one(epochs: &[EpochRecord]) -> Vec<Plot> {
    let mut loss = vec![Line {
        name: "loss".to_owned(),
        points: points(epochs, |epoch| epoch.loss),
        dots: vec![],
        strong: true,
    }];
    let terms: BTreeSet<_> = epochs.iter().flat_map(|epoch| epoch.terms.keys()).collect();
    // A single term is the loss itself.
    if terms.len() > 1 {
        loss.extend(terms.into_iter().map(|term| Line {
            name: term.clone(),
            points: points(epochs, |epoch| epoch.terms.get(term).copied().unwrap_or(f64::NAN)),
            dots: vec![],
            strong: false,
        }));
    }
    let rate = Line {
        name: String::new(),
        points: points(epochs, |epoch| epoch.learning_rate),
        dots: vec![],
        strong: true,
    };
    vec![
        accuracy(epochs),
        over_epochs("loss", "Training loss and its weighted terms".to_owned(), Ticks::Number, loss),
        over_epochs("learning-rate", "Learning rate".to_owned(), Ticks::Number, vec![rate]),
    ]
}

/// A line for each experiment of a recipe: the mean over its seeds.
fn of_several(experiments: &[Experiment], number: &str) -> Vec<Plot> {
    let runs = || experiments.iter().flat_map(|experiment| &experiment.runs);
    let all_validated = runs().all(|run| accuracies(&run.epochs).0 == Split::Validation);
    let split = if all_validated { Split::Validation } else { Split::Training };
    let lines = |of: &dyn Fn(&Run) -> Vec<(f64, f64)>| {
        let names =
            shortened(experiments.iter().map(|experiment| experiment.name.clone()).collect());
        let line = |(experiment, name): (&Experiment, String)| Line {
            name,
            points: mean_curve(experiment.runs.iter().map(|run| of(run)).collect()),
            dots: vec![],
            strong: false,
        };
        experiments.iter().zip(names).map(line).collect::<Vec<_>>()
    };
    let top1 = |run: &Run| {
        let scored = split.of(&run.epochs).into_iter();
        scored.filter_map(|(epoch, exits)| Some((epoch, exits.last()?.top1))).collect()
    };
    let seeds = if experiments.iter().any(|experiment| experiment.runs.len() > 1) {
        ", mean over the seeds"
    } else {
        ""
    };
    vec![
        over_epochs(
            &format!("accuracy{number}"),
            format!("{split} top-1 of the deepest exit{seeds}"),
            Ticks::Percent,
            lines(&top1),
        ),
        over_epochs(
            &format!("loss{number}"),
            format!("Training loss{seeds}"),
            Ticks::Number,
            lines(&|run| points(&run.epochs, |epoch| epoch.loss)),
        ),
    ]
}

/// The mean of the curves at the epochs that all of them have.
fn mean_curve(curves: Vec<Vec<(f64, f64)>>) -> Vec<(f64, f64)> {
    let Some((first, others)) = curves.split_first() else { return Vec::new() };
    let mean_at = |&(epoch, value): &(f64, f64)| {
        let at = |curve: &Vec<(f64, f64)>| curve.iter().find(|point| point.0 == epoch).map(|p| p.1);
        let others = others.iter().map(at).collect::<Option<Vec<f64>>>()?;
        Some((epoch, (value + others.iter().sum::<f64>()) / (others.len() + 1) as f64))
    };
    first.iter().filter_map(mean_at).collect()
}

fn over_epochs(name: &str, caption: String, y: Ticks, lines: Vec<Line>) -> Plot {
    Plot {
        name: name.to_owned(),
        caption,
        x_label: "epoch",
        x: Ticks::Whole,
        y,
        x_range: Range::Data,
        y_from_zero: y == Ticks::Number,
        lines,
        marks: Vec::new(),
    }
}

fn points(epochs: &[EpochRecord], of: impl Fn(&EpochRecord) -> f64) -> Vec<(f64, f64)> {
    epochs.iter().map(|epoch| (epoch.epoch as f64, of(epoch))).collect()
}

/// The images that accuracies were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Validation,
    Training,
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::Validation => "Validation",
            Self::Training => "Training",
        })
    }
}

impl Split {
    /// The scores of each epoch that has some.
    fn of(self, epochs: &[EpochRecord]) -> Vec<(f64, Vec<ExitAccuracy>)> {
        let scores = |epoch: &EpochRecord| match self {
            Self::Validation => epoch.valid.as_ref().map(|valid| valid.exits.clone()),
            Self::Training => Some(epoch.train.clone()),
        };
        epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, scores(epoch)?))).collect()
    }
}

/// Scores on the validation split, or on the training images if there is none.
fn accuracies(epochs: &[EpochRecord]) -> (Split, Vec<(f64, Vec<ExitAccuracy>)>) {
    let validation = Split::Validation.of(epochs);
    if validation.is_empty() {
        (Split::Training, Split::Training.of(epochs))
    } else {
        (Split::Validation, validation)
    }
}
