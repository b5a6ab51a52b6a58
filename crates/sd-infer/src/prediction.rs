//! An exit's prediction, as used by the early-exit rules.

/// The most probable class of an exit, and its certainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The class with the highest logit; the first one of a tie.
    pub class: usize,
    /// Its probability, 0 to 1.
    pub confidence: f32,
    /// Entropy of the distribution relative to a uniform one, 0 to 1.
    pub entropy: f32,
}

impl Prediction {
    /// The prediction from one finite logit per class, and the probabilities
    /// `softmax(logits / temperature)`. The temperature, above 0, does not change the class.
    ///
    /// # Panics
    /// Without a class.
    pub fn of(logits: &[f32], temperature: f32) -> Self {
        let higher =
            |best: usize, other: usize| if logits[other] > logits[best] { other } else { best };
        let class = (0..logits.len()).reduce(higher).expect("at least one class");
        let probabilities = softmax(logits, temperature);
        Self { class, confidence: probabilities[class], entropy: relative_entropy(&probabilities) }
    }
}

/// Number of consecutive exits, up to the latest one, that have predicted the class of their
/// predecessor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    class: Option<usize>,
    exits: usize,
}

impl Agreement {
    /// Adds the next exit's class and returns the count.
    pub fn update(&mut self, class: usize) -> usize {
        self.exits = if self.class == Some(class) { self.exits + 1 } else { 0 };
        self.class = Some(class);
        self.exits
    }
}

/// Logits carried from exit to exit: each exit's prediction includes a share of the earlier ones',
/// which reuses their computation (Zero Time Waste, Wołczyk et al. 2021,
/// <https://arxiv.org/abs/2106.05409>, where the shares are learnt).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogitCarry {
    logits: Vec<f32>,
}

impl LogitCarry {
    /// Adds the next exit's logits z and returns `sᵢ = zᵢ + share · sᵢ₋₁`.
    pub fn update(&mut self, logits: &[f32], share: f32) -> &[f32] {
        if self.logits.len() != logits.len() || share == 0.0 {
            self.logits = logits.to_vec();
        } else {
            for (carried, logit) in self.logits.iter_mut().zip(logits) {
                *carried = logit + share * *carried;
            }
        }
        &self.logits
    }
}

/// Entropy relative to that of a uniform distribution.
fn relative_entropy(probabilities: &[f32]) -> f32 {
    let term = |&p: &f32| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let max = (probabilities.len() as f32).ln();
    if max > 0.0 { (probabilities.iter().map(term).sum::<f32>() / max).min(1.0) } else { 0.0 }
}

/// `softmax(logits / temperature)`. Non-finite results become 0.
pub(crate) fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: &f32| ((logit - max) / temperature).exp();
    let exponentials: Vec<f32> = logits.iter().map(exponential).collect();
    let sum: f32 = exponentials.iter().sum();
    let probabilities = exponentials.into_iter().map(|exponential| exponential / sum);
    probabilities.map(|p| if p.is_finite() { p } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_is_the_most_probable_class_and_its_certainty() {
        let prediction = Prediction::of(&[0.25, 0.5, 0.25].map(f32::ln), 1.0);
        assert_eq!(prediction.class, 1);
        assert!((prediction.confidence - 0.5).abs() < 1e-6);
        let nats = 0.5 * 4.0_f32.ln() + 0.5 * 2.0_f32.ln();
        assert!((prediction.entropy - nats / 3.0_f32.ln()).abs() < 1e-6);
        assert_eq!(Prediction::of(&[0.5, 0.5], 1.0).class, 0);
        // Both probabilities round to the same number.
        assert_eq!(Prediction::of(&[0.0, 1e-9], 1.0).class, 1);
        assert!((relative_entropy(&[0.25; 4]) - 1.0).abs() < 1e-6);
        assert_eq!(relative_entropy(&[1.0, 0.0]), 0.0);
    }

    #[test]
    fn a_temperature_changes_the_certainty_and_never_the_class() {
        let logits = [0.1, 0.7, 0.2].map(f32::ln);
        // The square roots of the probabilities, normalised.
        let softer = Prediction::of(&logits, 2.0);
        let sum = 0.1f32.sqrt() + 0.7f32.sqrt() + 0.2f32.sqrt();
        assert!((softer.confidence - 0.7f32.sqrt() / sum).abs() < 1e-6, "{softer:?}");
        assert!(softer.entropy > Prediction::of(&logits, 1.0).entropy);
        // Divided by the temperature, both logits round to the same number.
        for temperature in [0.25, 1.0, 3.0, 10.0] {
            assert_eq!(Prediction::of(&[1.0, 1.0 + f32::EPSILON], temperature).class, 1);
        }
    }

    #[test]
    fn agreement_counts_consecutive_exits() {
        let mut agreement = Agreement::default();
        let counts = [3, 3, 3, 1, 3, 3].map(|class| agreement.update(class));
        assert_eq!(counts, [0, 1, 2, 0, 0, 1]);
    }

    #[test]
    fn a_share_of_earlier_logits_is_carried() {
        let mut carry = LogitCarry::default();
        assert_eq!(carry.update(&[1.0, -2.0], 0.5), [1.0, -2.0]);
        assert_eq!(carry.update(&[0.0, 1.0], 0.5), [0.5, 0.0]);
        assert_eq!(carry.update(&[1.0, 1.0], 0.5), [1.25, 1.0]);
        assert_eq!(carry.update(&[3.0, f32::NAN], 0.0)[0], 3.0, "nothing is carried");
    }

    #[test]
    fn probabilities_add_up_to_one_or_are_zero() {
        let sum = |logits: &[f32]| softmax(logits, 1.0).iter().sum::<f32>();
        assert!((sum(&[1e30, 1e30, -1e30]) - 1.0).abs() < 1e-6);
        assert_eq!(softmax(&[0.0, 0.0], 1.0), [0.5, 0.5]);
        assert_eq!(sum(&[f32::NAN, 0.0]), 0.0);
    }
}
