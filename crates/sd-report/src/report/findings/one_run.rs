//! One run: what the network is worth and where to stop.

use super::{FIGURE, costs, distance, exit_name};
use crate::evaluation::{EvaluationRecord, ExitRule};
use crate::figure::Plot;
use crate::format::number::{self, percent, share};
use crate::record::{ExitScore, Status};
use crate::report::experiment::valid_top1;
use crate::report::overview::chosen_exit;
use crate::report::{curves, early_exit, exits};
use crate::run_folder::Run;

/// Validation accuracy that stopping earlier may lose: one point.
const TOLERANCE: f64 = 0.01;

pub(super) fn paragraphs(run: &Run) -> Vec<String> {
    if run.summary.status != Status::Finished {
        return latest(run).into_iter().collect();
    }
    let deployed = chosen_exit(run).or(run.summary.exits.last());
    let Some((exit, top1)) = deployed.and_then(|exit| Some((exit, exit.test_top1?))) else {
        return latest(run).into_iter().collect();
    };
    let stop = [cheaper_exit(run, exit, top1), early_exit(run, exit)];
    let stop: Vec<String> = stop.into_iter().flatten().collect();
    let worth = worth(run, exit, top1);
    [worth].into_iter().chain((!stop.is_empty()).then(|| stop.join(" "))).collect()
}

/// Validation accuracy of a run that is not tested.
fn latest(run: &Run) -> Option<String> {
    let epoch = run.epochs.last()?;
    let best = epoch
        .valid
        .as_ref()?
        .exits
        .iter()
        .reduce(|best, next| if next.top1 > best.top1 { next } else { best })?;
    let (exit, top1) = (exit_name(&best.name), percent(best.top1));
    Some(format!(
        "After epoch {}, {exit} has the highest validation accuracy: {top1}.",
        epoch.epoch
    ))
}

fn worth(run: &Run, exit: &ExitScore, top1: f64) -> String {
    let record = &run.summary;
    let reaches = format!(
        "reaches {} test accuracy on {} with {}",
        percent(top1),
        record.dataset,
        costs(exit, record.dense_original)
    );
    if record.exits.len() == 1 {
        format!("The network {reaches}.")
    } else if chosen_exit(run).is_some() {
        format!("Deploy {}, which validation chose. It {reaches}.", exit_name(&exit.name))
    } else {
        format!("No exit could be chosen without a validation split. The deepest exit {reaches}.")
    }
}

/// The cheapest exit whose validation accuracy is within [`TOLERANCE`] of that of the deployed exit
/// or, without one, the most accurate among the cheaper ones.
fn cheaper_exit(run: &Run, deployed: &ExitScore, top1: f64) -> Option<String> {
    let least = valid_top1(run, &deployed.name)? - TOLERANCE;
    let exits = run.summary.exits.iter().filter(|exit| exit.macs < deployed.macs);
    let cheaper: Vec<_> =
        exits.filter_map(|exit| Some((exit, valid_top1(run, &exit.name)?))).collect();
    let within = cheaper.iter().filter(|(_, valid)| *valid >= least);
    let (exit, found) = match within.min_by_key(|(exit, _)| exit.macs) {
        Some((exit, _)) => (*exit, String::new()),
        None => {
            let (exit, _) = cheaper.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
            (*exit, "No cheaper exit is within 1 point of it on validation. ".to_owned())
        }
    };
    let saved = share(deployed.macs - exit.macs, deployed.macs);
    let change = change(exit.test_top1? - top1);
    Some(format!("{found}Stopping at {} saves {saved} of the MACs and {change}.", exit.name))
}

/// The confidence threshold with the fewest MACs whose validation accuracy is within [`TOLERANCE`] of
/// that of the deepest exit, if it costs less than the deployed exit.
fn early_exit(run: &Run, deployed: &ExitScore) -> Option<String> {
    let early = run.evaluation.as_ref()?.early_exit.as_ref()?;
    let deepest = early.deepest()?;
    let curve = early.curves.iter().find(|curve| curve.rule == ExitRule::Confidence)?;
    // The MACs of the deployed exit as the record counts them.
    let share = deployed.macs as f64 / run.summary.deployed.macs as f64;
    let cost = share * early.deepest_macs as f64;
    let least = deepest.valid.top1 - TOLERANCE;
    let within = curve.settings.iter().filter(|setting| setting.valid.top1 >= least);
    let cheapest = within.min_by(|a, b| a.valid.macs.total_cmp(&b.valid.macs));
    let saving = cheapest.filter(|setting| setting.valid.macs < cost);
    let Some((setting, threshold)) = saving.and_then(|found| Some((found, found.value?))) else {
        return Some(format!(
            "Early exit saves nothing: within 1 point on validation, no confidence threshold costs less \
             than {}.",
            exit_name(&deployed.name)
        ));
    };
    Some(format!(
        "Stopping at the first exit with a confidence of at least {} uses {} of the deepest exit's MACs on \
         average and {}.",
        number::threshold(threshold),
        percent(early.share(setting.test.macs)),
        change(setting.test.top1 - deepest.test.top1)
    ))
}

fn change(difference: f64) -> String {
    match distance(difference) {
        None => "loses no test accuracy".to_owned(),
        Some(points) if difference < 0.0 => format!("loses {points} of test accuracy"),
        Some(points) => format!("gains {points} of test accuracy"),
    }
}

/// Accuracy against MACs of early exit or of the exits; of a network with a single exit or without
/// test scores, accuracy over the epochs.
pub(super) fn plot(run: &Run) -> Option<Plot> {
    let exits = &run.summary.exits;
    let early = run.evaluation.as_ref().and_then(with_early_exit);
    let plot = early.or_else(|| {
        let scored = exits.len() > 1 && exits.iter().any(|exit| exit.test_top1.is_some());
        scored.then(|| exits::plot(exits))
    });
    let plot = plot.or_else(|| Some(curves::accuracy(&run.epochs)));
    plot.map(|plot| Plot { name: FIGURE.to_owned(), ..plot })
}

fn with_early_exit(evaluation: &EvaluationRecord) -> Option<Plot> {
    let mut plot = early_exit::plot(evaluation, evaluation.early_exit.as_ref()?);
    plot.lines.retain(|line| line.strong);
    plot.lines.iter_mut().for_each(|line| "early exit".clone_into(&mut line.name));
    plot.caption = "Test top-1 against mean MACs with early exit; rings: single exits".to_owned();
    Some(plot)
}
