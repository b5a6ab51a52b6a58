//! Early exit as an exported network does it, computed from what every exit says of each image.

use sd_infer::{Prediction, Rule};
use sd_report::EarlyExit;
use sd_report::evaluation::{ExitRule, OperatingPoint, Outcome, RuleCurve};

use crate::evaluation::predictions::Predictions;

/// Values that a curve has at most, the one without early exit apart: percentiles of what the
/// shallow exits say of the validation images.
const PERCENTILES: usize = 100;

/// Multiply-accumulates of an image by exit, shallow first.
#[derive(Debug, Clone)]
pub struct ExitMacs {
    /// Of the network that is cut off at the exit and has no other.
    pub alone: Vec<u64>,
    /// Of an image that leaves there after the exits before it have looked at it.
    pub cascade: Vec<u64>,
}

/// Early exit by confidence, entropy and patience, beside each exit alone. Values of the rules come
/// from `valid`, which also chooses for the budgets; `test` reports.
pub fn early_exit(valid: &Predictions, test: &Predictions, macs: &ExitMacs) -> EarlyExit {
    let curves = [ExitRule::Confidence, ExitRule::Entropy, ExitRule::Patience, ExitRule::Alone];
    let curve = |rule| RuleCurve {
        rule,
        settings: match rule {
            ExitRule::Alone => alone(valid, test, macs),
            rule => by_rule(&rules(rule, valid), valid, test, macs),
        },
    };
    let deepest = macs.alone.last().copied().unwrap_or_default();
    let curves = curves.into_iter().map(curve).collect();
    EarlyExit::new(valid.images() as u64, deepest, macs.cascade.clone(), curves)
}

/// The rule with each of its values, from few multiply-accumulates to many.
fn rules(rule: ExitRule, valid: &Predictions) -> Vec<(Option<f64>, Rule)> {
    let mut rules: Vec<(Option<f64>, Rule)> = match rule {
        ExitRule::Confidence => percentiles(valid, |opinion| opinion.confidence)
            .into_iter()
            .map(|value| (Some(f64::from(value)), Rule::Confidence(Some(value))))
            .collect(),
        ExitRule::Entropy => percentiles(valid, |opinion| opinion.entropy)
            .into_iter()
            .rev()
            .map(|value| (Some(f64::from(value)), Rule::Entropy(value)))
            .collect(),
        // The first exit has none before it, and at the deepest there is nothing left to save.
        ExitRule::Patience => (1..valid.without_ensemble().len().saturating_sub(1))
            .map(|exits| (Some(exits as f64), Rule::Patience(exits)))
            .collect(),
        ExitRule::Alone => vec![],
    };
    rules.push((None, Rule::Never));
    rules
}

/// Percentiles of what all shallow exits say, the least first, each value once.
fn percentiles(answers: &Predictions, of: impl Fn(&Prediction) -> f32) -> Vec<f32> {
    let exits = answers.without_ensemble();
    let shallow = &exits[..exits.len().saturating_sub(1)];
    let mut values: Vec<f32> = shallow.iter().flatten().map(|said| of(&said.opinion)).collect();
    values.sort_by(f32::total_cmp);
    let last = values.len().saturating_sub(1);
    let mut chosen: Vec<f32> = (0..=PERCENTILES)
        .filter_map(|percent| values.get(last * percent / PERCENTILES).copied())
        .collect();
    chosen.dedup();
    chosen
}

fn by_rule(
    rules: &[(Option<f64>, Rule)],
    valid: &Predictions,
    test: &Predictions,
    macs: &ExitMacs,
) -> Vec<OperatingPoint> {
    let setting = |&(value, rule): &(Option<f64>, Rule)| {
        let outcome = |answers| outcome(rule, answers, &macs.cascade);
        OperatingPoint { value, valid: outcome(valid), test: outcome(test) }
    };
    rules.iter().map(setting).collect()
}

fn alone(valid: &Predictions, test: &Predictions, macs: &ExitMacs) -> Vec<OperatingPoint> {
    let setting = |exit: usize| {
        let outcome = |answers| counted(answers, &macs.alone, |_| exit);
        OperatingPoint {
            value: Some((exit + 1) as f64),
            valid: outcome(valid),
            test: outcome(test),
        }
    };
    (0..macs.alone.len()).map(setting).collect()
}

/// What comes of images that leave by the rule, for these multiply-accumulates by exit.
pub fn outcome(rule: Rule, answers: &Predictions, macs: &[u64]) -> Outcome {
    let exits = answers.without_ensemble();
    let opinions = |image: usize| exits.iter().map(move |exit| exit[image].opinion);
    counted(answers, macs, |image| rule.exit_index(opinions(image)))
}

/// What comes of images that leave where `left_at` says, for these multiply-accumulates by exit.
pub fn counted(answers: &Predictions, macs: &[u64], left_at: impl Fn(usize) -> usize) -> Outcome {
    let images = answers.images();
    let (mut right, mut left) = (0_u64, vec![0_u64; macs.len()]);
    for image in 0..images {
        let exit = left_at(image);
        left[exit] += 1;
        right += u64::from(answers.is_right(exit, image));
    }
    let spent: f64 = left.iter().zip(macs).map(|(&left, &macs)| left as f64 * macs as f64).sum();
    Outcome { top1: right as f64 / images as f64, macs: spent / images as f64, left_at: left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::predictions::Said;

    /// Two images by three exits: the class each says, and how surely. Both are of class 0.
    fn answers() -> Predictions {
        let said = |class, confidence| Said {
            opinion: Prediction { class, confidence, entropy: 1.0 - confidence },
            rank: class,
            loss: 0.0,
        };
        let exits = vec![
            vec![said(0, 0.9), said(1, 0.4)],
            vec![said(0, 0.95), said(1, 0.6)],
            vec![said(1, 0.9), said(0, 0.8)],
            vec![said(0, 0.9), said(0, 0.8)],
        ];
        Predictions { labels: vec![0, 0], exits }
    }

    fn macs() -> ExitMacs {
        ExitMacs { alone: vec![20, 60, 100], cascade: vec![20, 65, 110] }
    }

    fn curve(rule: ExitRule) -> Vec<(Option<f64>, Vec<u64>, f64, f64)> {
        let early = early_exit(&answers(), &answers(), &macs());
        let curve = early.curves.into_iter().find(|curve| curve.rule == rule).unwrap();
        let shown = |setting: OperatingPoint| {
            let OperatingPoint { value, test: Outcome { left_at, top1, macs }, .. } = setting;
            (value.map(|value| (value * 100.0).round() / 100.0), left_at, top1, macs)
        };
        curve.settings.into_iter().map(shown).collect()
    }

    #[test]
    fn images_leave_where_the_rule_says() {
        let never = (None, vec![0, 0, 2], 0.5, 110.0);
        let sure = [
            (Some(0.4), vec![2, 0, 0], 0.5, 20.0),
            (Some(0.6), vec![1, 1, 0], 0.5, 42.5),
            (Some(0.9), vec![1, 0, 1], 1.0, 65.0),
            (Some(0.95), vec![0, 1, 1], 1.0, 87.5),
        ];
        let sure: Vec<_> = sure.into_iter().chain([never.clone()]).collect();
        assert_eq!(curve(ExitRule::Confidence), sure);
        let entropies = [0.6, 0.4, 0.1, 0.05].map(Some).into_iter().chain([None]);
        let unsure: Vec<_> =
            entropies.zip(&sure).map(|(value, row)| (value, row.1.clone(), row.2, row.3)).collect();
        assert_eq!(curve(ExitRule::Entropy), unsure);
        let agreed = vec![(Some(1.0), vec![0, 2, 0], 0.5, 65.0), never];
        assert_eq!(curve(ExitRule::Patience), agreed);
        let alone =
            [(1.0, vec![2, 0, 0], 20.0), (2.0, vec![0, 2, 0], 60.0), (3.0, vec![0, 0, 2], 100.0)];
        let alone = alone.map(|(value, left, macs)| (Some(value), left, 0.5, macs));
        assert_eq!(curve(ExitRule::Alone), alone);
    }

    #[test]
    fn budgets_are_of_the_deepest_exit_alone() {
        let early = early_exit(&answers(), &answers(), &macs());
        assert_eq!((early.deepest_macs, early.valid_images), (100, 2));
        let chosen: Vec<_> = early
            .budgets
            .iter()
            .map(|budget| budget.choices[0].setting.as_ref().map(|setting| setting.test.macs))
            .collect();
        assert_eq!(chosen, [Some(20.0), Some(20.0), Some(65.0)]);
    }
}
