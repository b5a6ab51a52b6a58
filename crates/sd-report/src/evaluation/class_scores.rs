//! Scores that count every class alike, from a confusion matrix.

use serde::{Deserialize, Serialize};

/// Balanced accuracy, macro F1, and precision and F1 of each class. The numbers are scikit-learn's; where it
/// warns of a division by zero, a class has `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Mean recall of the classes with images, 0 to 1.
    pub balanced_accuracy: f64,
    /// Mean F1 of the classes that are a label or a prediction, 0 to 1.
    pub macro_f1: f64,
    /// Share of the images with this prediction that have this label; `None` if it is never
    /// predicted.
    pub precision: Vec<Option<f64>>,
    /// Harmonic mean of precision and recall; `None` for a class that is neither a label nor a
    /// prediction.
    pub f1: Vec<Option<f64>>,
}

impl ClassScores {
    /// Scores from the number of images by label (rows) and prediction (columns).
    pub fn of(confusion: &[Vec<u64>]) -> Self {
        let classes = 0..confusion.len();
        let labelled = |class: usize| confusion[class].iter().sum::<u64>();
        let predicted = |class: usize| confusion.iter().map(|row| row[class]).sum::<u64>();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let of = |score: &dyn Fn(u64, usize) -> Option<f64>| -> Vec<Option<f64>> {
            classes.clone().map(|class| score(confusion[class][class], class)).collect()
        };
        let precision = of(&|right, class| share(right, predicted(class)));
        let recall = of(&|right, class| share(right, labelled(class)));
        let f1 = of(&|right, class| share(2 * right, labelled(class) + predicted(class)));
        Self { balanced_accuracy: mean(&recall), macro_f1: mean(&f1), precision, f1 }
    }
}

/// Mean of the known numbers; NaN without any.
fn mean(scores: &[Option<f64>]) -> f64 {
    let known: Vec<f64> = scores.iter().copied().flatten().collect();
    known.iter().sum::<f64>() / known.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_counts_alike() {
        // Class 2 has no image and is never predicted; class 3 is predicted once.
        let confusion = [vec![90, 10, 0, 0], vec![4, 5, 0, 1], vec![0, 0, 0, 0], vec![0, 0, 0, 0]];
        let scores = ClassScores::of(&confusion);
        assert!((scores.balanced_accuracy - (0.9 + 0.5) / 2.0).abs() < 1e-12);
        let f1 = [2.0 * 90.0 / 194.0, 2.0 * 5.0 / 25.0];
        assert!((scores.macro_f1 - (f1[0] + f1[1]) / 3.0).abs() < 1e-12);
        assert_eq!(scores.precision, [Some(90.0 / 94.0), Some(5.0 / 15.0), None, Some(0.0)]);
        assert_eq!(scores.f1, [Some(f1[0]), Some(f1[1]), None, Some(0.0)]);
    }
}
