//! Thresholds of early exit by confidence, chosen on the validation split.

use sd_models::MultiExit;
use tch::{Kind, Tensor};

use crate::evaluate::Evaluation;

/// What an exit says of the validation images, in their order.
#[derive(Debug, Default, Clone)]
struct Answers {
    /// Its largest probability.
    confidence: Vec<f32>,
    /// Whether it is right.
    correct: Vec<bool>,
}

/// A threshold for each shallow exit of `network`: an image leaves at the first exit whose
/// largest probability is at least its threshold, and never at one without. Early exit then costs at most `points` points
/// of the deepest exit's top-1 accuracy on these images.
pub fn choose(evaluation: &Evaluation, network: &MultiExit, points: f64) -> Vec<Option<f32>> {
    let _no_grad = tch::no_grad_guard();
    let mut answers = vec![Answers::default(); network.exit_names().len()];
    for (outputs, labels) in evaluation.outputs(network) {
        for (exit, answers) in outputs.all().zip(&mut answers) {
            let (confidence, class) = exit.logits.softmax(-1, Kind::Float).max_dim(-1, false);
            let correct: Vec<i64> = numbers(&class.eq_tensor(&labels).to_kind(Kind::Int64));
            answers.confidence.extend(numbers::<f32>(&confidence));
            answers.correct.extend(correct.into_iter().map(|correct| correct == 1));
        }
    }
    let (deepest, shallow) = answers.split_last().expect("a network has a deepest exit");
    thresholds(shallow, &deepest.correct, points)
}

fn numbers<T>(tensor: &Tensor) -> Vec<T>
where
    Vec<T>: for<'a> TryFrom<&'a Tensor, Error = tch::TchError>,
{
    Vec::try_from(tensor).expect("a vector of this type")
}

/// Each exit in turn lets as many of the remaining images go as its share of `points` allows, the
/// most confident first: those that it gets wrong and the deepest exit right, less those the other
/// way round.
fn thresholds(shallow: &[Answers], deepest: &[bool], points: f64) -> Vec<Option<f32>> {
    let allowed = points / 100.0 * deepest.len() as f64 / shallow.len().max(1) as f64;
    let mut remaining: Vec<usize> = (0..deepest.len()).collect();
    let mut chosen = Vec::new();
    for exit in shallow {
        let mut order = remaining.clone();
        order.sort_by(|&a, &b| exit.confidence[b].total_cmp(&exit.confidence[a]));
        let (mut threshold, mut lost) = (None, 0);
        for (rank, &image) in order.iter().enumerate() {
            lost += i64::from(deepest[image]) - i64::from(exit.correct[image]);
            let next = order.get(rank + 1).map(|&next| exit.confidence[next]);
            // Images that are equally confident leave together.
            if lost as f64 <= allowed && next != Some(exit.confidence[image]) {
                threshold = Some(exit.confidence[image]);
            }
        }
        remaining.retain(|&image| threshold.is_none_or(|least| exit.confidence[image] < least));
        chosen.push(threshold);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(of: &[(f32, bool)]) -> Answers {
        let (confidence, correct) = of.iter().copied().unzip();
        Answers { confidence, correct }
    }

    #[test]
    fn as_many_leave_as_the_lost_images_allow() {
        let exit = answers(&[(0.9, true), (0.8, false), (0.7, true), (0.6, false), (0.5, false)]);
        let deepest = [true, true, false, true, true];
        // Losses add up to 0, 1, 0, 1, 2 images in the order of confidence.
        for (points, expected) in [(0.0, 0.7), (20.0, 0.6), (40.0, 0.5)] {
            assert_eq!(thresholds(std::slice::from_ref(&exit), &deepest, points), [Some(expected)]);
        }
    }

    #[test]
    fn equally_confident_images_leave_together_or_not_at_all() {
        let exit = answers(&[(0.5, true), (0.5, false)]);
        assert_eq!(thresholds(&[exit], &[true, true], 0.0), [None]);
    }

    #[test]
    fn a_later_exit_sees_what_remains() {
        let first = answers(&[(0.9, true), (0.2, false), (0.1, false)]);
        let second = answers(&[(0.95, false), (0.6, true), (0.3, false)]);
        // The first image is gone before the second exit could lose it.
        assert_eq!(thresholds(&[first, second], &[true; 3], 0.0), [Some(0.9), Some(0.6)]);
    }
}
