//! When an image leaves a staged network.

use crate::{Error, Result};

/// Decides at each shallow exit whether an image leaves there. What leaves nowhere leaves at the
/// deepest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The largest probability is at least this, 0 to 1; by default each exit's own threshold,
    /// chosen on the validation split.
    Confidence(Option<f32>),
    /// The entropy of the probabilities, as a share of the largest possible one, is at most this,
    /// 0 to 1 (BranchyNet, Teerapittayanon et al. 2016, <https://arxiv.org/abs/1709.01686>).
    Entropy(f32),
    /// This many exits one after another have given the class of the one before, at least 1
    /// (PABEE, Zhou et al. 2020, <https://arxiv.org/abs/2006.04152>).
    Patience(usize),
    /// No image leaves early.
    Never,
}

impl Default for Rule {
    fn default() -> Self {
        Self::Confidence(None)
    }
}

impl Rule {
    /// Checks the number.
    pub(crate) fn check(self) -> Result<()> {
        let share = |key, value: f32| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            Err(Error::Value { key, found: value.to_string(), expected: "a number from 0 to 1" })
        };
        match self {
            Self::Confidence(Some(value)) => share("confidence", value),
            Self::Entropy(value) => share("entropy", value),
            Self::Patience(0) => {
                Err(Error::Value { key: "patience", found: "0".to_owned(), expected: "at least 1" })
            }
            Self::Confidence(None) | Self::Patience(_) | Self::Never => Ok(()),
        }
    }

    /// Whether an image leaves an exit that has this threshold. `agreed` counts the exits, one
    /// after another up to this one, that have given the class of the one before.
    pub(crate) fn leaves(
        self,
        probabilities: &[f32],
        threshold: Option<f32>,
        agreed: usize,
    ) -> bool {
        let largest = || probabilities.iter().copied().fold(0.0, f32::max);
        match self {
            Self::Confidence(value) => value.or(threshold).is_some_and(|least| largest() >= least),
            Self::Entropy(most) => entropy(probabilities) <= most,
            Self::Patience(exits) => agreed >= exits,
            Self::Never => false,
        }
    }
}

/// Entropy as a share of that of equal probabilities.
fn entropy(probabilities: &[f32]) -> f32 {
    let bits = |&p: &f32| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let most = (probabilities.len() as f32).ln();
    if most > 0.0 { probabilities.iter().map(bits).sum::<f32>() / most } else { 0.0 }
}

/// `softmax(logits)`. Numbers that are not finite give no probabilities above 0.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    let share = |power: f32| power / sum;
    powers.into_iter().map(share).map(|p| if p.is_finite() { p } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_number() {
        let sure = [0.9, 0.05, 0.05];
        let unsure = [0.4, 0.3, 0.3];
        for (rule, threshold, agreed, sure_leaves, unsure_leaves) in [
            (Rule::Confidence(None), None, 9, false, false),
            (Rule::Confidence(None), Some(0.5), 0, true, false),
            (Rule::Confidence(Some(0.3)), Some(0.5), 0, true, true),
            (Rule::Entropy(0.5), None, 0, true, false),
            (Rule::Patience(2), None, 1, false, false),
            (Rule::Patience(2), None, 2, true, true),
            (Rule::Never, Some(0.0), 9, false, false),
        ] {
            assert_eq!(rule.leaves(&sure, threshold, agreed), sure_leaves, "{rule:?}");
            assert_eq!(rule.leaves(&unsure, threshold, agreed), unsure_leaves, "{rule:?}");
        }
        assert!((entropy(&[0.25; 4]) - 1.0).abs() < 1e-6);
        assert_eq!(entropy(&[1.0, 0.0]), 0.0);
    }

    #[test]
    fn probabilities_add_up_whatever_the_logits() {
        let sum = |logits: &[f32]| softmax(logits).iter().sum::<f32>();
        assert!((sum(&[1e30, 1e30, -1e30]) - 1.0).abs() < 1e-6);
        assert_eq!(softmax(&[0.0, 0.0]), [0.5, 0.5]);
        assert_eq!(sum(&[f32::NAN, 0.0]), 0.0);
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        let message = Rule::Entropy(1.5).check().unwrap_err().to_string();
        assert_eq!(message, "entropy is 1.5, expected a number from 0 to 1");
        assert!(Rule::Confidence(Some(f32::NAN)).check().is_err());
        assert!(Rule::Patience(0).check().is_err());
    }
}
