//! Targets of a batch.

use tch::{Kind, Tensor};

/// Targets of the outputs of a batch.
#[derive(Debug)]
pub struct Targets {
    /// Labels, `[N]`.
    pub labels: Tensor,
    /// The second labels, if each image is a mixture of two.
    pub mixed: Option<MixedLabels>,
    /// Weights of the classes in the cross-entropy with the labels, `[K]`, if there are any.
    pub class_weights: Option<Tensor>,
    /// Logits `[N, K]` of the objective's own teacher, without gradient, if it has one.
    pub teacher_logits: Option<Tensor>,
    /// Share of all epochs that is done after this one, above 0 to 1.
    pub progress: f64,
}

/// The second labels of a mixed batch.
#[derive(Debug)]
pub struct MixedLabels {
    /// Labels, `[N]`.
    pub labels: Tensor,
    /// Weight of the first label, 0 to 1; the second label has the rest.
    pub share: f64,
}

impl Targets {
    /// Targets of images that are not mixed, in the last epoch.
    pub fn new(labels: Tensor) -> Self {
        Self { labels, mixed: None, class_weights: None, teacher_logits: None, progress: 1.0 }
    }

    /// For each image the label with the larger weight, `[N]`; accuracy counts it.
    pub fn dominant(&self) -> &Tensor {
        match &self.mixed {
            Some(mixed) if mixed.share < 0.5 => &mixed.labels,
            _ => &self.labels,
        }
    }

    /// The weighted sum of `term` over both labels `[N]`.
    pub fn weighted(&self, term: impl Fn(&Tensor) -> Tensor) -> Tensor {
        match &self.mixed {
            None => term(&self.labels),
            Some(MixedLabels { labels, share }) => {
                term(&self.labels) * *share + term(labels) * (1.0 - share)
            }
        }
    }

    /// The labels as distributions over `classes`, `[N, K]`: one-hot, or two-hot if mixed.
    pub fn distribution(&self, classes: i64) -> Tensor {
        self.weighted(|labels| labels.one_hot(classes).to_kind(Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_with_the_larger_weight_is_dominant() {
        let of = |share| Targets {
            mixed: Some(MixedLabels { labels: Tensor::from_slice(&[2i64, 1]), share }),
            ..Targets::new(Tensor::from_slice(&[0i64, 1]))
        };
        assert_eq!(of(0.75).dominant(), &Tensor::from_slice(&[0i64, 1]));
        assert_eq!(of(0.25).dominant(), &Tensor::from_slice(&[2i64, 1]));
        let expected = Tensor::from_slice(&[0.75f32, 0.0, 0.25, 0.0, 1.0, 0.0]).view([2, 3]);
        assert_eq!(of(0.75).distribution(3), expected);
    }
}
