//! Early exit as in an exported network, computed from the predictions of every exit.

use sd_infer::{Prediction, Rule};
use sd_report::EarlyExit;
use sd_report::evaluation::{ExitRule, OperatingPoint, Outcome, RuleCurve};

use super::predictions::Predictions;

/// Values of a rule that a curve shows: percentiles of the shallow exits' confidence or entropy on
/// the validation images.
const PERCENTILES: usize = 100;

/// Multiply-accumulates per image by exit, shallow first.
#[derive(Debug, Clone)]
pub struct ExitMacs {
    /// Network that ends at the exit and has no other.
    pub alone: Vec<u64>,
    /// Stopping at the exit, including the exits before it.
    pub cascade: Vec<u64>,
}

/// Curves of early exit by confidence, entropy and patience, and of each exit alone. The values of
/// the rules, and the choices for the budgets, come from `valid`; `test` reports.
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

/// The rule with each of its values, in order of increasing cost.
fn rules(rule: ExitRule, valid: &Predictions) -> Vec<(Option<f64>, Rule)> {
    let mut rules: Vec<(Option<f64>, Rule)> = match rule {
        ExitRule::Confidence => percentiles(valid, |prediction| prediction.confidence)
            .into_iter()
            .map(|value| (Some(f64::from(value)), Rule::Confidence(Some(value))))
            .collect(),
        ExitRule::Entropy => percentiles(valid, |prediction| prediction.entropy)
            .into_iter()
            .rev()
            .map(|value| (Some(f64::from(value)), Rule::Entropy(value)))
            .collect(),
        // The first exit has no predecessor, and the deepest saves nothing.
        ExitRule::Patience => (1..valid.without_ensemble().len().saturating_sub(1))
            .map(|exits| (Some(exits as f64), Rule::Patience(exits)))
            .collect(),
        ExitRule::Alone => vec![],
    };
    rules.push((None, Rule::Never));
    rules
}

/// Distinct percentiles of a number over all shallow exits, in ascending order.
fn percentiles(predictions: &Predictions, of: impl Fn(&Prediction) -> f32) -> Vec<f32> {
    let exits = predictions.without_ensemble();
    let shallow = &exits[..exits.len().saturating_sub(1)];
    let mut values: Vec<f32> = shallow.iter().flatten().map(|exit| of(&exit.prediction)).collect();
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
    let point = |&(value, rule): &(Option<f64>, Rule)| {
        let outcome = |predictions| outcome(rule, predictions, &macs.cascade);
        OperatingPoint { value, valid: outcome(valid), test: outcome(test) }
    };
    rules.iter().map(point).collect()
}

fn alone(valid: &Predictions, test: &Predictions, macs: &ExitMacs) -> Vec<OperatingPoint> {
    let point = |exit: usize| {
        let outcome = |predictions| counted(predictions, &macs.alone, |_| exit);
        OperatingPoint {
            value: Some((exit + 1) as f64),
            valid: outcome(valid),
            test: outcome(test),
        }
    };
    (0..macs.alone.len()).map(point).collect()
}

/// Accuracy and mean cost of early exit by a rule, for these multiply-accumulates by exit.
pub fn outcome(rule: Rule, predictions: &Predictions, macs: &[u64]) -> Outcome {
    let exits = predictions.without_ensemble();
    let predicted = |image: usize| exits.iter().map(move |exit| exit[image].prediction);
    counted(predictions, macs, |image| rule.exit_index(predicted(image)))
}

/// Accuracy and mean cost if each image stops at the exit that `exit_of` gives.
pub fn counted(
    predictions: &Predictions,
    macs: &[u64],
    exit_of: impl Fn(usize) -> usize,
) -> Outcome {
    let images = predictions.images();
    let (mut correct, mut left) = (0_u64, vec![0_u64; macs.len()]);
    for image in 0..images {
        let exit = exit_of(image);
        left[exit] += 1;
        correct += u64::from(predictions.is_correct(exit, image));
    }
    let spent: f64 = left.iter().zip(macs).map(|(&left, &macs)| left as f64 * macs as f64).sum();
    Outcome { top1: correct as f64 / images as f64, macs: spent / images as f64, left_at: left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::predictions::ExitPrediction;

    /// Two images of class 0 by three exits and the ensemble: class and confidence.
    fn predictions() -> Predictions {
        let exit = |class, confidence| ExitPrediction {
            prediction: Prediction { class, confidence, entropy: 1.0 - confidence },
            rank: class,
            loss: 0.0,
        };
        let exits = vec![
            vec![exit(0, 0.9), exit(1, 0.4)],
            vec![exit(0, 0.95), exit(1, 0.6)],
            vec![exit(1, 0.9), exit(0, 0.8)],
            vec![exit(0, 0.9), exit(0, 0.8)],
        ];
        Predictions { labels: vec![0, 0], exits }
    }

    fn macs() -> ExitMacs {
        ExitMacs { alone: vec![20, 60, 100], cascade: vec![20, 65, 110] }
    }

    fn curve(rule: ExitRule) -> Vec<(Option<f64>, Vec<u64>, f64, f64)> {
        let early = early_exit(&predictions(), &predictions(), &macs());
        let curve = early.curves.into_iter().find(|curve| curve.rule == rule).unwrap();
        let shown = |setting: OperatingPoint| {
            let OperatingPoint { value, test: Outcome { left_at, top1, macs }, .. } = setting;
            (value.map(|value| (value * 100.0).round() / 100.0), left_at, top1, macs)
        };
        curve.settings.into_iter().map(shown).collect()
    }

    #[test]
    fn images_stop_where_the_rule_says() {
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
    fn budgets_are_relative_to_the_deepest_exit() {
        let early = early_exit(&predictions(), &predictions(), &macs());
        assert_eq!((early.deepest_macs, early.valid_images), (100, 2));
        let chosen: Vec<_> = early
            .budgets
            .iter()
            .map(|budget| budget.choices[0].setting.as_ref().map(|setting| setting.test.macs))
            .collect();
        assert_eq!(chosen, [Some(20.0), Some(20.0), Some(65.0)]);
    }
}
