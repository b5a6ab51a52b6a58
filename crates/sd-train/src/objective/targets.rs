//! What the outputs of a batch are held against.

use tch::{Kind, Tensor};

/// What the outputs of a batch are held against.
#[derive(Debug)]
pub struct Targets {
    /// `[N]`
    pub labels: Tensor,
    /// The other labels, where each image is a mixture of two.
    pub mixed: Option<Mixed>,
    /// Logits `[N, K]`, without gradient, that the objective asked for, see
    /// [`Needs`](super::Needs).
    pub reference: Option<Tensor>,
    /// Share of all epochs that is done after this one, above 0 to 1.
    pub progress: f64,
}

/// The second label of each image of a mixed batch.
#[derive(Debug)]
pub struct Mixed {
    /// `[N]`
    pub labels: Tensor,
    /// How much of an image the first label is true of, 0 to 1; the second is of the rest.
    pub share: f64,
}

impl Targets {
    /// Labels `[N]` of images that are not mixed, in the last epoch.
    pub fn new(labels: Tensor) -> Self {
        Self { labels, mixed: None, reference: None, progress: 1.0 }
    }

    /// The label that is true of most of each image, `[N]`; accuracy is counted by it.
    pub fn dominant(&self) -> &Tensor {
        match &self.mixed {
            Some(mixed) if mixed.share < 0.5 => &mixed.labels,
            _ => &self.labels,
        }
    }

    /// The weighted sum of what `term` says of each of the labels `[N]`.
    pub fn weighted(&self, term: impl Fn(&Tensor) -> Tensor) -> Tensor {
        match &self.mixed {
            None => term(&self.labels),
            Some(Mixed { labels, share }) => {
                term(&self.labels) * *share + term(labels) * (1.0 - share)
            }
        }
    }

    /// The labels as distributions over `classes`, `[N, K]`: one-hot, or of two where mixed.
    pub fn distribution(&self, classes: i64) -> Tensor {
        self.weighted(|labels| labels.one_hot(classes).to_kind(Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_share_is_dominant_and_shares_add_up() {
        let of = |share| Targets {
            mixed: Some(Mixed { labels: Tensor::from_slice(&[2i64, 1]), share }),
            ..Targets::new(Tensor::from_slice(&[0i64, 1]))
        };
        assert_eq!(of(0.75).dominant(), &Tensor::from_slice(&[0i64, 1]));
        assert_eq!(of(0.25).dominant(), &Tensor::from_slice(&[2i64, 1]));
        let expected = Tensor::from_slice(&[0.75f32, 0.0, 0.25, 0.0, 1.0, 0.0]).view([2, 3]);
        assert_eq!(of(0.75).distribution(3), expected);
    }
}
