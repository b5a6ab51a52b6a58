//! Early-exit rules of staged networks.

use crate::{Agreement, Error, Prediction, Result};

/// Decides after each shallow exit whether an image stops there. An image that stops nowhere goes on
/// to the deepest exit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Stops if the largest probability is at least this, 0 to 1. Unset: the exit's own threshold,
    /// chosen on the validation split.
    Confidence(Option<f32>),
    /// Stops if the entropy, relative to a uniform distribution, is at most this, 0 to 1 (BranchyNet,
    /// Teerapittayanon et al. 2016, <https://arxiv.org/abs/1709.01686>).
    Entropy(f32),
    /// Stops after this many consecutive exits, at least 1, that predict the class of their
    /// predecessor (PABEE, Zhou et al. 2020, <https://arxiv.org/abs/2006.04152>).
    Patience(usize),
    /// Never stops early. The deepest exit's prediction includes the logits carried to it.
    Never,
}

impl Default for Rule {
    fn default() -> Self {
        Self::Confidence(None)
    }
}

impl Rule {
    /// Checks the rule's parameter.
    ///
    /// # Errors
    /// [`Error::Value`] if it is outside its range.
    pub fn check(self) -> Result<()> {
        let fraction = |key, value: f32| {
            if (0.0..=1.0).contains(&value) {
                return Ok(());
            }
            Err(Error::Value { key, found: value.to_string(), expected: "a number from 0 to 1" })
        };
        match self {
            Self::Confidence(Some(value)) => fraction("confidence", value),
            Self::Entropy(value) => fraction("entropy", value),
            Self::Patience(0) => {
                Err(Error::Value { key: "patience", found: "0".to_owned(), expected: "at least 1" })
            }
            Self::Confidence(None) | Self::Patience(_) | Self::Never => Ok(()),
        }
    }

    /// Whether an image stops at an exit with this prediction and threshold. `agreement` is the
    /// count of [`Agreement`] up to this exit.
    pub fn should_exit(
        self,
        prediction: &Prediction,
        threshold: Option<f32>,
        agreement: usize,
    ) -> bool {
        match self {
            Self::Confidence(value) => {
                value.or(threshold).is_some_and(|min| prediction.confidence >= min)
            }
            Self::Entropy(max) => prediction.entropy <= max,
            Self::Patience(exits) => agreement >= exits,
            Self::Never => false,
        }
    }

    /// Index of the exit at which an image stops, from the predictions of the exits, shallow first;
    /// the last one if it stops at none before. Exits have no thresholds of their own here.
    pub fn exit_index(self, predictions: impl IntoIterator<Item = Prediction>) -> usize {
        let mut agreement = Agreement::default();
        let mut last = 0;
        for (exit, prediction) in predictions.into_iter().enumerate() {
            if self.should_exit(&prediction, None, agreement.update(prediction.class)) {
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
    fn each_rule_compares_its_own_quantity() {
        let certain = Prediction::of(&[0.9, 0.05, 0.05].map(f32::ln), 1.0);
        let uncertain = Prediction::of(&[0.4, 0.3, 0.3].map(f32::ln), 1.0);
        for (rule, threshold, agreement, certain_exits, uncertain_exits) in [
            (Rule::Confidence(None), None, 9, false, false),
            (Rule::Confidence(None), Some(0.5), 0, true, false),
            (Rule::Confidence(Some(0.3)), Some(0.5), 0, true, true),
            (Rule::Entropy(0.5), None, 0, true, false),
            (Rule::Patience(2), None, 1, false, false),
            (Rule::Patience(2), None, 2, true, true),
            (Rule::Never, Some(0.0), 9, false, false),
        ] {
            let exits = |prediction| rule.should_exit(prediction, threshold, agreement);
            assert_eq!(exits(&certain), certain_exits, "{rule:?}");
            assert_eq!(exits(&uncertain), uncertain_exits, "{rule:?}");
        }
    }

    #[test]
    fn an_image_stops_at_the_first_exit_that_the_rule_accepts_or_at_the_last() {
        let predictions = [[0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]]
            .map(|p| Prediction::of(&p.map(f32::ln), 1.0));
        for (rule, exit) in [
            (Rule::Confidence(Some(0.7)), 1),
            (Rule::Confidence(None), 3),
            (Rule::Entropy(0.75), 2),
            (Rule::Patience(1), 2),
            (Rule::Patience(3), 3),
            (Rule::Never, 3),
        ] {
            assert_eq!(rule.exit_index(predictions), exit, "{rule:?}");
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let message = Rule::Entropy(1.5).check().unwrap_err().to_string();
        assert_eq!(message, "entropy is 1.5, expected a number from 0 to 1");
        assert!(Rule::Confidence(Some(f32::NAN)).check().is_err());
        assert!(Rule::Patience(0).check().is_err());
    }
}
