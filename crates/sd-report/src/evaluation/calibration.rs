//! Whether a network is right as often as it says: Guo et al., *On Calibration of Modern Neural
//! Networks*, 2017, <https://arxiv.org/abs/1706.04599>, section 2.

use serde::{Deserialize, Serialize};

use super::Guess;

/// How many bins there are; the paper's number.
pub const BINS: usize = 15;

/// The images whose confidence lies in a part of the range from 0 to 1: above its lower end, up to
/// and with its upper one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub images: u64,
    /// Their mean confidence; `None` without images.
    pub confidence: Option<f64>,
    /// The fraction that is guessed rightly; `None` without images.
    pub accuracy: Option<f64>,
}

pub(super) fn bins(guesses: &[Guess]) -> Vec<Bin> {
    let mut sums = [(0_u64, 0.0, 0.0); BINS];
    for guess in guesses {
        // Logits that are not finite give the confidence 0, which is in no bin of the paper's.
        let bin = (guess.confidence * BINS as f64).ceil() as usize;
        let (images, confidence, right) = &mut sums[bin.clamp(1, BINS) - 1];
        *images += 1;
        *confidence += guess.confidence;
        *right += f64::from(u8::from(guess.class == guess.label));
    }
    let mean = |sum: f64, images: u64| (images > 0).then(|| sum / images as f64);
    let bin = |(images, confidence, right)| Bin {
        images,
        confidence: mean(confidence, images),
        accuracy: mean(right, images),
    };
    sums.into_iter().map(bin).collect()
}

/// Equation 3 of the paper.
pub(super) fn error(bins: &[Bin]) -> f64 {
    mean_over_images(bins, |bin| Some((bin.accuracy? - bin.confidence?).abs()))
}

pub(super) fn mean_confidence(bins: &[Bin]) -> f64 {
    mean_over_images(bins, |bin| bin.confidence)
}

fn mean_over_images(bins: &[Bin], of: impl Fn(&Bin) -> Option<f64>) -> f64 {
    let images: u64 = bins.iter().map(|bin| bin.images).sum();
    let sum: f64 = bins.iter().filter_map(|bin| Some(bin.images as f64 * of(bin)?)).sum();
    sum / images as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(confidence: f64, right: bool) -> Guess {
        Guess { label: 0, class: usize::from(!right), confidence, rank: 0, loss: 0.0 }
    }

    #[test]
    fn a_bin_ends_with_its_upper_end() {
        let counts = |confidence| -> Vec<u64> {
            bins(&[guess(confidence, true)]).iter().map(|bin| bin.images).collect()
        };
        let first = |confidence| counts(confidence).iter().position(|&images| images == 1);
        let third = 1.0 / 3.0;
        assert_eq!([1.0, 0.0, third, third + 1e-9].map(first), [14, 0, 4, 5].map(Some));
    }

    #[test]
    fn the_error_weighs_bins_by_their_images() {
        // Bin 8 is right half of the time at .6; the last always at 1.
        let bins = bins(&[guess(0.6, true), guess(0.6, false), guess(1.0, true)]);
        assert!((error(&bins) - 0.2 / 3.0).abs() < 1e-12);
        assert!((mean_confidence(&bins) - 2.2 / 3.0).abs() < 1e-12);
    }
}
