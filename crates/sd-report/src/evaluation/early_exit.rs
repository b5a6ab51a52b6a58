//! What images cost that leave at the first exit that is sure enough, and how well they are
//! recognised.

use serde::{Deserialize, Serialize};

/// Budgets, as shares of the deepest exit's multiply-accumulates.
pub const BUDGETS: [f64; 3] = [0.25, 0.5, 0.75];

/// Early exit by several rules. The validation split chooses, the test set reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyExit {
    /// Validation images that chose.
    pub valid_images: u64,
    /// Multiply-accumulates of the deepest exit alone, without shallow exits: what budgets and
    /// shares are of.
    pub deepest_macs: u64,
    /// Multiply-accumulates of an image that leaves at each exit after the exits before it have
    /// looked at it, shallow first.
    pub exit_macs: Vec<u64>,
    /// A curve for each rule.
    pub curves: Vec<RuleCurve>,
    /// A budget for each of [`BUDGETS`].
    pub budgets: Vec<Budget>,
}

/// When an image leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitRule {
    /// Where the largest probability is at least the value.
    Confidence,
    /// Where the entropy, as a share of the largest possible one, is at most the value.
    Entropy,
    /// Where as many exits one after another have agreed with the one before.
    Patience,
    /// No early exit: the network is cut off at the exit of this number, from 1, and has no other.
    /// What early exit has to be better than.
    Alone,
}

impl ExitRule {
    /// Its name, as in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Entropy => "entropy",
            Self::Patience => "patience",
            Self::Alone => "alone",
        }
    }
}

/// A rule with each of its values, from few multiply-accumulates to many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleCurve {
    /// The rule.
    pub rule: ExitRule,
    /// At least one.
    pub settings: Vec<Setting>,
}

/// A rule's value, and what comes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// See [`ExitRule`]; `None` where no image leaves early.
    pub value: Option<f64>,
    /// On the validation split.
    pub valid: Outcome,
    /// On the test set.
    pub test: Outcome,
}

/// How many images were recognised, and for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Fraction whose label is the first guess where they left.
    pub top1: f64,
    /// Mean multiply-accumulates of an image.
    pub macs: f64,
    /// Images that left at each exit.
    pub left_at: Vec<u64>,
}

/// What each rule makes of a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Of the deepest exit's multiply-accumulates.
    pub share: f64,
    /// One for each curve.
    pub choices: Vec<Choice>,
}

/// The value that was chosen for a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The rule.
    pub rule: ExitRule,
    /// Of the settings whose mean multiply-accumulates on the validation split are within the
    /// budget, the one with the highest top-1 there; of several, the cheapest. `None` where none
    /// is within it. On the test set it may cost a little more or less.
    pub setting: Option<Setting>,
}

impl EarlyExit {
    /// Chooses for each of [`BUDGETS`].
    pub fn new(
        valid_images: u64,
        deepest_macs: u64,
        exit_macs: Vec<u64>,
        curves: Vec<RuleCurve>,
    ) -> Self {
        let mut early = Self { valid_images, deepest_macs, exit_macs, curves, budgets: Vec::new() };
        let budget = |share: f64| {
            let rules = early.curves.iter().map(|curve| curve.rule);
            let choice = |rule| Choice { rule, setting: early.within(rule, share).cloned() };
            Budget { share, choices: rules.map(choice).collect() }
        };
        early.budgets = BUDGETS.into_iter().map(budget).collect();
        early
    }

    /// The setting of a rule that is chosen for a budget, see [`Choice::setting`].
    pub fn within(&self, rule: ExitRule, share: f64) -> Option<&Setting> {
        let curve = self.curves.iter().find(|curve| curve.rule == rule)?;
        best_within(&curve.settings, share * self.deepest_macs as f64)
    }

    /// Multiply-accumulates as a share of the deepest exit's.
    pub fn share(&self, macs: f64) -> f64 {
        macs / self.deepest_macs as f64
    }

    /// The deepest exit alone.
    pub fn deepest(&self) -> Option<&Setting> {
        let alone = self.curves.iter().find(|curve| curve.rule == ExitRule::Alone)?;
        alone.settings.last()
    }

    /// Every setting there is.
    pub(super) fn settings(&self) -> impl Iterator<Item = &Setting> {
        let chosen = self.budgets.iter().flat_map(|budget| &budget.choices);
        let chosen = chosen.filter_map(|choice| choice.setting.as_ref());
        self.curves.iter().flat_map(|curve| &curve.settings).chain(chosen)
    }
}

fn best_within(settings: &[Setting], macs: f64) -> Option<&Setting> {
    let within = settings.iter().filter(|setting| setting.valid.macs <= macs);
    within.reduce(|best, next| {
        let better = next.valid.top1 > best.valid.top1
            || next.valid.top1 == best.valid.top1 && next.valid.macs < best.valid.macs;
        if better { next } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(value: f64, top1: f64, macs: f64, test_macs: f64) -> Setting {
        let outcome = |macs| Outcome { top1, macs, left_at: vec![1] };
        Setting { value: Some(value), valid: outcome(macs), test: outcome(test_macs) }
    }

    #[test]
    fn a_budget_takes_the_most_accurate_within_it_by_the_validation_split() {
        let settings = vec![
            setting(0.1, 0.5, 30.0, 90.0),
            setting(0.2, 0.7, 45.0, 99.0),
            setting(0.3, 0.7, 50.0, 10.0),
            setting(0.4, 0.6, 60.0, 10.0),
            setting(0.5, 0.9, 76.0, 10.0),
        ];
        let curve = RuleCurve { rule: ExitRule::Confidence, settings };
        let early = EarlyExit::new(1, 100, vec![30, 110], vec![curve]);
        let chosen: Vec<_> = early
            .budgets
            .iter()
            .map(|budget| budget.choices[0].setting.as_ref().and_then(|setting| setting.value))
            .collect();
        // Nothing costs a quarter; .2 is as accurate as .3 and cheaper; .5 costs too much.
        assert_eq!(chosen, [None, Some(0.2), Some(0.2)]);
        assert_eq!(early.budgets.iter().map(|budget| budget.share).collect::<Vec<_>>(), BUDGETS);
    }
}
