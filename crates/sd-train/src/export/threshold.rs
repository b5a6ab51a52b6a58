//! Thresholds of early exit by confidence, chosen on the validation split.

use anyhow::{Context, Result};
use sd_bench::evaluation::ExitRule;

use crate::answers::{Answers, Said};
use crate::early_exit::{ExitMacs, early_exit};

/// A threshold for each shallow exit: an image leaves at the first exit whose largest probability
/// is at least its threshold, and never at one without. Early exit then costs at most `points`
/// points of the deepest exit's top-1 accuracy on these images.
///
/// Each exit in turn lets as many of the remaining images go as its share of `points` allows, the
/// most confident first: those that it gets wrong and the deepest exit right, less those the other
/// way round.
pub fn choose(answers: &Answers, points: f64) -> Vec<Option<f32>> {
    let Some((_, shallow)) = answers.without_ensemble().split_last() else { return vec![] };
    let (images, deepest) = (answers.images(), shallow.len());
    let allowed = points / 100.0 * images as f64 / shallow.len().max(1) as f64;
    let mut remaining: Vec<usize> = (0..images).collect();
    let mut chosen = Vec::new();
    for (exit, said) in shallow.iter().enumerate() {
        let confidence = |image: usize| confidence(said, image);
        let mut order = remaining.clone();
        order.sort_by(|&a, &b| confidence(b).total_cmp(&confidence(a)));
        let (mut threshold, mut lost) = (None, 0);
        for (rank, &image) in order.iter().enumerate() {
            lost += i64::from(answers.is_right(deepest, image));
            lost -= i64::from(answers.is_right(exit, image));
            let next = order.get(rank + 1).map(|&next| confidence(next));
            // Images that are equally confident leave together.
            if lost as f64 <= allowed && next != Some(confidence(image)) {
                threshold = Some(confidence(image));
            }
        }
        remaining.retain(|&image| threshold.is_none_or(|least| confidence(image) < least));
        chosen.push(threshold);
    }
    chosen
}

/// One threshold for all shallow exits: of those with which an image takes on average at most
/// `percent` of the deepest exit's multiply-accumulates, the one that is the most accurate on these
/// images.
///
/// # Errors
/// If no early exit is as cheap.
pub fn within(answers: &Answers, macs: &ExitMacs, percent: f64) -> Result<Vec<Option<f32>>> {
    let early = early_exit(answers, answers, macs);
    let setting = early.within(ExitRule::Confidence, percent / 100.0).with_context(|| {
        let least = 100.0 * early.share(macs.cascade.first().copied().unwrap_or_default() as f64);
        format!(
            "--budget: found {percent}, expected at least {least:.1}, what the first exit takes"
        )
    })?;
    let shallow = macs.cascade.len().saturating_sub(1);
    Ok(vec![setting.value.map(|value| value as f32); shallow])
}

fn confidence(said: &[Said], image: usize) -> f32 {
    said[image].opinion.confidence
}

#[cfg(test)]
mod tests {
    use sd_infer::Opinion;

    use super::*;

    /// Images of class 0 by exit: how sure it is, and whether it is right. The deepest comes last.
    fn answers(exits: &[&[(f32, bool)]]) -> Answers {
        let said = |&(confidence, right): &(f32, bool)| Said {
            opinion: Opinion { class: usize::from(!right), confidence, entropy: 0.0 },
            rank: 0,
            loss: 0.0,
        };
        let exits: Vec<Vec<Said>> =
            exits.iter().map(|exit| exit.iter().map(said).collect()).collect();
        let labels = vec![0; exits[0].len()];
        // What the ensemble says does not count.
        let ensemble = exits[0].clone();
        Answers { labels, exits: exits.into_iter().chain([ensemble]).collect() }
    }

    #[test]
    fn as_many_leave_as_the_lost_images_allow() {
        let exit = [(0.9, true), (0.8, false), (0.7, true), (0.6, false), (0.5, false)];
        let deepest = [true, true, false, true, true].map(|right| (1.0, right));
        // Losses add up to 0, 1, 0, 1, 2 images in the order of confidence.
        for (points, expected) in [(0.0, 0.7), (20.0, 0.6), (40.0, 0.5)] {
            assert_eq!(choose(&answers(&[&exit, &deepest]), points), [Some(expected)]);
        }
    }

    #[test]
    fn equally_confident_images_leave_together_or_not_at_all() {
        let exit = [(0.5, true), (0.5, false)];
        assert_eq!(choose(&answers(&[&exit, &[(1.0, true); 2]]), 0.0), [None]);
    }

    #[test]
    fn a_budget_takes_the_most_accurate_threshold_within_it() {
        let exit = [(0.9, true), (0.8, false), (0.4, false)];
        let answers = answers(&[&exit, &[(1.0, true); 3]]);
        let macs = ExitMacs { alone: vec![20, 100], cascade: vec![20, 110] };
        let chosen = |percent| within(&answers, &macs, percent);
        assert_eq!(chosen(50.0).unwrap(), [Some(0.8)], "a third of the images goes on: 50");
        assert_eq!(chosen(80.0).unwrap(), [Some(0.9)], "and two thirds: 80");
        let message = chosen(10.0).unwrap_err().to_string();
        assert!(message.contains("found 10, expected at least 20.0"), "{message}");
    }

    #[test]
    fn a_later_exit_sees_what_remains() {
        let first = [(0.9, true), (0.2, false), (0.1, false)];
        let second = [(0.95, false), (0.6, true), (0.3, false)];
        // The first image is gone before the second exit could lose it.
        let answers = answers(&[&first, &second, &[(1.0, true); 3]]);
        assert_eq!(choose(&answers, 0.0), [Some(0.9), Some(0.6)]);
    }
}
