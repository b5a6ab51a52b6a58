//! Early exit: cost and accuracy if images leave at the first exit that is confident enough.

use serde::{Deserialize, Serialize};

/// Budgets as shares of the deepest exit's MACs.
pub const BUDGETS: [f64; 3] = [0.25, 0.5, 0.75];

/// Early exit by several rules: thresholds are chosen on the validation split and reported on the
/// test set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlyExit {
    /// Number of validation images.
    pub valid_images: u64,
    /// MACs of the network without shallow exits, to which budgets and shares are relative.
    pub deepest_macs: u64,
    /// Cumulative MACs of stopping at each exit, including the earlier exits, shallow first.
    pub exit_macs: Vec<u64>,
    /// One curve per rule.
    pub curves: Vec<RuleCurve>,
    /// One entry per [`BUDGETS`].
    pub budgets: Vec<Budget>,
    /// The policy of a staged export, chosen on the validation images; `None` if it was not
    /// recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<ExitPolicy>,
}

/// Early-exit policy of a staged network. The default never stops early.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExitPolicy {
    /// Share of the logits of the previous exits that is carried on, 0 to 1.
    pub carry: f32,
    /// For each shallow exit, the confidence after carrying from which an image stops; `None` never
    /// stops.
    pub thresholds: Vec<Option<f32>>,
    /// Temperature of each exit's logits after carrying, the deepest last; empty in records of
    /// earlier versions, where it is 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub temperatures: Vec<f32>,
}

/// The rule by which an image leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitRule {
    /// The largest probability is at least the threshold.
    Confidence,
    /// The entropy, as a share of the largest possible one, is at most the threshold.
    Entropy,
    /// As many successive exits agreed with the exit before them.
    Patience,
    /// No early exit: the network is cut off at the exit with this number, from 1. The baseline of
    /// early exit.
    Alone,
}

impl ExitRule {
    /// Returns its name, as in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Entropy => "entropy",
            Self::Patience => "patience",
            Self::Alone => "alone",
        }
    }
}

/// The operating points of a rule, from few to many MACs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleCurve {
    /// The rule.
    pub rule: ExitRule,
    /// The operating points, at least one.
    pub settings: Vec<OperatingPoint>,
}

/// A threshold of a rule with its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The threshold, see [`ExitRule`]; `None` if no image leaves early.
    pub value: Option<f64>,
    /// On the validation split.
    pub valid: Outcome,
    /// On the test set.
    pub test: Outcome,
}

/// Accuracy and cost of early exit on a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Top-1 accuracy at the exits where the images left.
    pub top1: f64,
    /// Mean MACs per image.
    pub macs: f64,
    /// Number of images that left at each exit.
    pub left_at: Vec<u64>,
}

/// The choice of each rule within a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// The budget as a share of the deepest exit's MACs.
    pub share: f64,
    /// One choice per curve.
    pub choices: Vec<RuleChoice>,
}

/// The operating point that a rule chose within a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleChoice {
    /// The rule.
    pub rule: ExitRule,
    /// Among the points whose mean MACs on the validation split are within the budget, the one with
    /// the highest top-1 there, and of equals the cheapest. `None` if none is within the budget. On
    /// the test set it may cost a little more or less.
    pub setting: Option<OperatingPoint>,
}

impl EarlyExit {
    /// Chooses operating points for each of [`BUDGETS`].
    pub fn new(
        valid_images: u64,
        deepest_macs: u64,
        exit_macs: Vec<u64>,
        curves: Vec<RuleCurve>,
    ) -> Self {
        let mut early = Self {
            valid_images,
            deepest_macs,
            exit_macs,
            curves,
            budgets: Vec::new(),
            policy: None,
        };
        let budget = |share: f64| {
            let rules = early.curves.iter().map(|curve| curve.rule);
            let choice = |rule| RuleChoice { rule, setting: early.within(rule, share).cloned() };
            Budget { share, choices: rules.map(choice).collect() }
        };
        early.budgets = BUDGETS.into_iter().map(budget).collect();
        early
    }

    /// Returns the operating point of a rule within a budget, see [`RuleChoice::setting`].
    pub fn within(&self, rule: ExitRule, share: f64) -> Option<&OperatingPoint> {
        let curve = self.curves.iter().find(|curve| curve.rule == rule)?;
        best_within(&curve.settings, share * self.deepest_macs as f64)
    }

    /// Returns MACs as a share of the deepest exit's.
    pub fn share(&self, macs: f64) -> f64 {
        macs / self.deepest_macs as f64
    }

    /// Returns the deepest exit without early exit.
    pub fn deepest(&self) -> Option<&OperatingPoint> {
        let alone = self.curves.iter().find(|curve| curve.rule == ExitRule::Alone)?;
        alone.settings.last()
    }

    /// Every operating point.
    pub(super) fn settings(&self) -> impl Iterator<Item = &OperatingPoint> {
        let chosen = self.budgets.iter().flat_map(|budget| &budget.choices);
        let chosen = chosen.filter_map(|choice| choice.setting.as_ref());
        self.curves.iter().flat_map(|curve| &curve.settings).chain(chosen)
    }
}

fn best_within(settings: &[OperatingPoint], macs: f64) -> Option<&OperatingPoint> {
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

    fn setting(value: f64, top1: f64, macs: f64, test_macs: f64) -> OperatingPoint {
        let outcome = |macs| Outcome { top1, macs, left_at: vec![1] };
        OperatingPoint { value: Some(value), valid: outcome(macs), test: outcome(test_macs) }
    }

    #[test]
    fn a_budget_chooses_by_validation_accuracy_and_then_cost() {
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
        // Nothing costs only a quarter; 0.2 is as accurate as 0.3 and cheaper; 0.5 costs too much.
        assert_eq!(chosen, [None, Some(0.2), Some(0.2)]);
        assert_eq!(early.budgets.iter().map(|budget| budget.share).collect::<Vec<_>>(), BUDGETS);
    }
}
