//! Calibration after Guo et al., *On Calibration of Modern Neural Networks*, 2017,
//! <https://arxiv.org/abs/1706.04599>, section 2.

use serde::{Deserialize, Serialize};

use super::LabelledPrediction;
use crate::record::null_is_nan;

/// Number of bins, as in the paper.
pub const BINS: usize = 15;

/// The images with a confidence in one interval: above its lower and up to its upper end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bin {
    /// Number of images.
    pub images: u64,
    /// Mean confidence; `None` without images.
    pub confidence: Option<f64>,
    /// Accuracy; `None` without images.
    pub accuracy: Option<f64>,
}

/// Confidence after temperature scaling (Guo et al. 2017, section 4.2): the probabilities are
/// `softmax(logits / temperature)`, and the predicted classes stay the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemperatureScaling {
    /// The temperature, above 0, with the least negative log-likelihood on the validation split.
    pub temperature: f32,
    /// Mean negative log-likelihood of the labels, in nats.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Expected calibration error, 0 to 1.
    pub calibration_error: f64,
    /// The reliability diagram.
    pub bins: Vec<Bin>,
}

impl TemperatureScaling {
    /// Evaluates predictions at this temperature, at least one.
    pub fn of(temperature: f32, predictions: &[LabelledPrediction]) -> Self {
        let bins = bins(predictions);
        Self { temperature, loss: mean_loss(predictions), calibration_error: error(&bins), bins }
    }

    /// Returns the mean probability of the predicted class.
    pub fn mean_confidence(&self) -> f64 {
        mean_confidence(&self.bins)
    }
}

pub(super) fn mean_loss(predictions: &[LabelledPrediction]) -> f64 {
    predictions.iter().map(|prediction| prediction.loss).sum::<f64>() / predictions.len() as f64
}

pub(super) fn bins(predictions: &[LabelledPrediction]) -> Vec<Bin> {
    let mut sums = [(0_u64, 0.0, 0.0); BINS];
    for prediction in predictions {
        // Logits that are not finite give the confidence 0, which is in no bin of the paper.
        let bin = (prediction.confidence * BINS as f64).ceil() as usize;
        let (images, confidence, right) = &mut sums[bin.clamp(1, BINS) - 1];
        *images += 1;
        *confidence += prediction.confidence;
        *right += f64::from(u8::from(prediction.is_correct()));
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

    fn prediction(confidence: f64, right: bool) -> LabelledPrediction {
        let wrong = usize::from(!right);
        LabelledPrediction { label: 0, class: wrong, confidence, rank: wrong, loss: 0.0 }
    }

    #[test]
    fn a_bin_includes_its_upper_end() {
        let counts = |confidence| -> Vec<u64> {
            bins(&[prediction(confidence, true)]).iter().map(|bin| bin.images).collect()
        };
        let first = |confidence| counts(confidence).iter().position(|&images| images == 1);
        let third = 1.0 / 3.0;
        assert_eq!([1.0, 0.0, third, third + 1e-9].map(first), [14, 0, 4, 5].map(Some));
    }

    #[test]
    fn the_error_weighs_bins_by_their_images() {
        // Bin 8 is right half of the time at .6; the last always at 1.
        let bins = bins(&[prediction(0.6, true), prediction(0.6, false), prediction(1.0, true)]);
        assert!((error(&bins) - 0.2 / 3.0).abs() < 1e-12);
        assert!((mean_confidence(&bins) - 2.2 / 3.0).abs() < 1e-12);
    }
}
