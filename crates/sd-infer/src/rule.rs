//! When an image leaves a staged network.

use crate::{Agreement, Error, Opinion, Result};

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
    /// No image leaves early; the deepest exit answers with what is carried to it.
    Never,
}

impl Default for Rule {
    fn default() -> Self {
        Self::Confidence(None)
    }
}

impl Rule {
    /// Checks the number.
    ///
    /// # Errors
    /// [`Error::Value`] where it is outside its range.
    pub fn check(self) -> Result<()> {
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

    /// Whether an image leaves an exit of this opinion that has this threshold. `agreed` counts the
    /// exits, one after another up to this one, that have given the class of the one before
    /// ([`Agreement`]).
    pub fn leaves(self, opinion: &Opinion, threshold: Option<f32>, agreed: usize) -> bool {
        match self {
            Self::Confidence(value) => {
                value.or(threshold).is_some_and(|least| opinion.confidence >= least)
            }
            Self::Entropy(most) => opinion.entropy <= most,
            Self::Patience(exits) => agreed >= exits,
            Self::Never => false,
        }
    }

    /// The exit at which an image leaves of which the exits have these opinions, shallow first; the
    /// last where it leaves at none before. Exits have no thresholds of their own here.
    pub fn leaves_at(self, opinions: impl IntoIterator<Item = Opinion>) -> usize {
        let mut agreement = Agreement::default();
        let mut last = 0;
        for (exit, opinion) in opinions.into_iter().enumerate() {
            if self.leaves(&opinion, None, agreement.hears(opinion.class)) {
                return exit;
            }
            last = exit;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_number() {
        let sure = Opinion::of(&[0.9, 0.05, 0.05]);
        let unsure = Opinion::of(&[0.4, 0.3, 0.3]);
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
    }

    #[test]
    fn an_image_leaves_at_the_first_exit_that_lets_it_or_at_the_last() {
        let opinions = [[0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]].map(|p| Opinion::of(&p));
        for (rule, exit) in [
            (Rule::Confidence(Some(0.7)), 1),
            (Rule::Confidence(None), 3),
            (Rule::Entropy(0.75), 2),
            (Rule::Patience(1), 2),
            (Rule::Patience(3), 3),
            (Rule::Never, 3),
        ] {
            assert_eq!(rule.leaves_at(opinions), exit, "{rule:?}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        let message = Rule::Entropy(1.5).check().unwrap_err().to_string();
        assert_eq!(message, "entropy is 1.5, expected a number from 0 to 1");
        assert!(Rule::Confidence(Some(f32::NAN)).check().is_err());
        assert!(Rule::Patience(0).check().is_err());
    }
}
