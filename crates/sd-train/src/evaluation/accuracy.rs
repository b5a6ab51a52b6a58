//! The definition of accuracy: the rank of the label.

use tch::{Kind, Tensor};

/// The rank of each label among its logits, `[.., N]` from logits `[.., N, K]` and labels `[N]`:
/// the number of classes that count as more probable. An image is classified correctly at top-k if
/// its rank is below k.
///
/// Of equal logits the lower class counts as more probable, as in an exported network. NaN counts as
/// more probable than any number, and a label whose logit is NaN is ranked last, so that neither is
/// correct.
pub fn label_ranks(logits: &Tensor, labels: &Tensor) -> Tensor {
    let mut shape = logits.size();
    let classes = shape.pop().expect("logits have a last dimension");
    let labels = labels.expand(&shape, false).unsqueeze(-1);
    let own = logits.gather(-1, &labels, false);
    let class = Tensor::arange(classes, (Kind::Int64, logits.device()));
    let first = logits.eq_tensor(&own).logical_and(&class.less_tensor(&labels));
    let nan = logits.isnan().logical_or(&own.isnan());
    let above = logits.greater_tensor(&own).logical_or(&first).logical_or(&nan);
    let others = class.not_equal_tensor(&labels);
    above.logical_and(&others).sum_dim_intlist([-1i64].as_slice(), false, Kind::Int64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(logits: &[f32], labels: &[i64]) -> Vec<i64> {
        let logits = Tensor::from_slice(logits).view([labels.len() as i64, -1]);
        Vec::try_from(label_ranks(&logits, &Tensor::from_slice(labels))).unwrap()
    }

    #[test]
    fn a_rank_counts_the_more_probable_classes() {
        assert_eq!(ranks(&[[1.0, 3.0, 2.0]; 3].concat(), &[0, 1, 2]), [2, 0, 1]);
    }

    #[test]
    fn of_equal_logits_the_lower_class_is_more_probable() {
        assert_eq!(ranks(&[[1.0, 1.0, 0.0]; 2].concat(), &[0, 1]), [0, 1]);
    }

    #[test]
    fn nan_is_never_correct() {
        assert_eq!(ranks(&[f32::NAN; 3], &[0]), [2]);
        assert_eq!(ranks(&[1.0, f32::NAN, 0.0], &[0]), [1]);
    }

    #[test]
    fn exits_are_ranked_side_by_side() {
        let logits = Tensor::from_slice(&[0f32, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]).view([2, 2, 2]);
        let ranks = label_ranks(&logits, &Tensor::from_slice(&[0i64, 1]));
        assert_eq!(ranks.size(), [2, 2]);
        assert_eq!(Vec::<i64>::try_from(ranks.view(-1)).unwrap(), [1, 1, 0, 0]);
    }
}
