//! Temperature scaling (Guo et al. 2017, <https://arxiv.org/abs/1706.04599>, section 4.2).

/// Range of the temperature. On few images, all classified correctly, the likelihood would have it
/// go to 0.
const RANGE: [f64; 2] = [0.25, 10.0];
/// Maximum number of iterations; Newton's method needs about six.
const ITERATIONS: usize = 50;
/// Relative change of the temperature at which the iteration ends.
const TOLERANCE: f64 = 1e-7;

/// Returns the temperature T at which `softmax(logits / T)` gives the labels the least negative
/// log-likelihood. `logits` are `[N, K]`, K > 0. 1 without images, and if T changes nothing.
pub fn fit(logits: &[f32], labels: &[usize]) -> f32 {
    // The negative log-likelihood is convex in 1 / T.
    let [mut low, mut high] = [1.0 / RANGE[1], 1.0 / RANGE[0]];
    let mut inverse = 1.0;
    for _ in 0..ITERATIONS {
        let (slope, curvature) = derivatives(logits, labels, inverse);
        match slope {
            0.0 => break,
            slope if slope > 0.0 => high = inverse,
            _ => low = inverse,
        }
        let newton = inverse - slope / curvature;
        let next = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        let change = (next - inverse).abs() / inverse;
        inverse = next;
        if change < TOLERANCE {
            break;
        }
    }
    (1.0 / inverse) as f32
}

/// First and second derivative of the summed negative log-likelihood with respect to 1 / T: the
/// mean of the logits, less that of the label, and their variance.
fn derivatives(logits: &[f32], labels: &[usize], inverse: f64) -> (f64, f64) {
    let classes = logits.len() / labels.len().max(1);
    let (mut slope, mut curvature) = (0.0, 0.0);
    for (row, &label) in logits.chunks_exact(classes.max(1)).zip(labels) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for logit in row {
            let logit = f64::from(logit - max);
            let weight = (logit * inverse).exp();
            sum += weight;
            first += weight * logit;
            second += weight * logit * logit;
        }
        let mean = first / sum;
        slope += mean - f64::from(row[label] - max);
        curvature += second / sum - mean * mean;
    }
    (slope, curvature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` images of two classes at this logit difference, a share of them of the likelier class.
    fn images(difference: f32, count: usize, right: usize) -> (Vec<f32>, Vec<usize>) {
        let logits = [difference, 0.0].repeat(count);
        (logits, (0..count).map(|image| usize::from(image >= right)).collect())
    }

    #[test]
    fn confidence_becomes_accuracy() {
        // 80 % correct: softmax(d / T) = .8 at d / T = ln 4.
        for difference in [0.7, 2.0, 9.0] {
            let (logits, labels) = images(difference, 50, 40);
            let expected = difference / 4.0_f32.ln();
            let found = fit(&logits, &labels);
            assert!((found - expected).abs() < 1e-5 * expected, "{found}, expected {expected}");
        }
    }

    #[test]
    fn the_temperature_stays_within_its_range() {
        let (logits, labels) = images(1.0, 10, 10);
        assert!((fit(&logits, &labels) - 0.25).abs() < 1e-4);
        let (logits, labels) = images(1.0, 10, 0);
        assert!((fit(&logits, &labels) - 10.0).abs() < 1e-3);
        let (logits, labels) = images(0.0, 10, 4);
        assert_eq!((fit(&logits, &labels), fit(&[], &[])), (1.0, 1.0));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let (logits, labels) = images(2e3, 10, 9);
        assert!((fit(&logits, &labels) - 10.0).abs() < 1e-3);
    }
}
