//! What an exit says of an image, in as much as a rule looks at it.

/// The first guess of an exit, and how sure it is of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    /// The most probable class; of equal ones the first.
    pub class: usize,
    /// Its probability, 0 to 1.
    pub confidence: f32,
    /// Entropy of all probabilities as a share of that of equal ones, 0 to 1.
    pub entropy: f32,
}

impl Opinion {
    /// The opinion behind these probabilities, one a class.
    pub fn of(probabilities: &[f32]) -> Self {
        let (mut class, mut confidence) = (0, 0.0);
        for (other, &probability) in probabilities.iter().enumerate() {
            if probability > confidence {
                (class, confidence) = (other, probability);
            }
        }
        Self { class, confidence, entropy: entropy(probabilities) }
    }
}

/// Counts how many exits, one after another up to the last heard, have given the class of the one
/// before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    class: Option<usize>,
    exits: usize,
}

impl Agreement {
    /// Hears the next exit's class; the count.
    pub fn hears(&mut self, class: usize) -> usize {
        self.exits = if self.class == Some(class) { self.exits + 1 } else { 0 };
        self.class = Some(class);
        self.exits
    }
}

/// What the exits so far have said of an image. A share of it stays in the answer of the next, which
/// so recycles work that is done already (Zero Time Waste, Wołczyk et al. 2021,
/// <https://arxiv.org/abs/2106.05409>, where the shares are learnt).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    logits: Vec<f32>,
}

impl Memory {
    /// Hears the next exit's logits z; its answer's, `sᵢ = zᵢ + carry · sᵢ₋₁`.
    pub fn hears(&mut self, logits: &[f32], carry: f32) -> &[f32] {
        if self.logits.len() != logits.len() || carry == 0.0 {
            self.logits = logits.to_vec();
        } else {
            for (kept, logit) in self.logits.iter_mut().zip(logits) {
                *kept = logit + carry * *kept;
            }
        }
        &self.logits
    }
}

/// Entropy as a share of that of equal probabilities.
fn entropy(probabilities: &[f32]) -> f32 {
    let bits = |&p: &f32| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let most = (probabilities.len() as f32).ln();
    if most > 0.0 { (probabilities.iter().map(bits).sum::<f32>() / most).min(1.0) } else { 0.0 }
}

/// `softmax(logits)`. Numbers that are not finite give no probabilities above 0.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
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
    fn an_opinion_is_the_first_guess_and_its_certainty() {
        let opinion = Opinion::of(&[0.25, 0.5, 0.25]);
        assert_eq!((opinion.class, opinion.confidence), (1, 0.5));
        let nats = 0.5 * 4.0_f32.ln() + 0.5 * 2.0_f32.ln();
        assert!((opinion.entropy - nats / 3.0_f32.ln()).abs() < 1e-6);
        assert_eq!(Opinion::of(&[0.5, 0.5]).class, 0);
        assert!((entropy(&[0.25; 4]) - 1.0).abs() < 1e-6);
        assert_eq!(entropy(&[1.0, 0.0]), 0.0);
    }

    #[test]
    fn exits_agree_one_after_another() {
        let mut agreement = Agreement::default();
        let heard = [3, 3, 3, 1, 3, 3].map(|class| agreement.hears(class));
        assert_eq!(heard, [0, 1, 2, 0, 0, 1]);
    }

    #[test]
    fn an_answer_keeps_a_share_of_all_before_it() {
        let mut memory = Memory::default();
        assert_eq!(memory.hears(&[1.0, -2.0], 0.5), [1.0, -2.0]);
        assert_eq!(memory.hears(&[0.0, 1.0], 0.5), [0.5, 0.0]);
        assert_eq!(memory.hears(&[1.0, 1.0], 0.5), [1.25, 1.0]);
        assert_eq!(memory.hears(&[3.0, f32::NAN], 0.0)[0], 3.0, "nothing is carried");
    }

    #[test]
    fn probabilities_add_up_whatever_the_logits() {
        let sum = |logits: &[f32]| softmax(logits).iter().sum::<f32>();
        assert!((sum(&[1e30, 1e30, -1e30]) - 1.0).abs() < 1e-6);
        assert_eq!(softmax(&[0.0, 0.0]), [0.5, 0.5]);
        assert_eq!(sum(&[f32::NAN, 0.0]), 0.0);
    }
}
