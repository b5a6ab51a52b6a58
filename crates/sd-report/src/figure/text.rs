//! Text in figures: width, truncation, and labels that do not overlap.

/// Font size, in pixels.
pub(super) const TEXT: f64 = 12.5;
/// Minimum distance of two labels, in pixels.
pub(super) const NAME_GAP: f64 = 15.0;
const LONGEST_NAME: usize = 26;

/// Approximate width in a sans-serif font, in pixels; the reader's font is unknown.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * TEXT * 0.58
}

/// The name, truncated to the maximum length.
pub(super) fn truncate(name: &str) -> String {
    truncate_to(name, LONGEST_NAME)
}

/// The name, truncated to this many characters.
pub(super) fn truncate_to(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    name.chars().take(letters - 1).chain(['…']).collect()
}

/// Moves positions apart that are closer than `gap`, keeping their order and, if possible, staying
/// within `top..=bottom`.
pub(super) fn spread_out(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<_> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let gap = gap.min((bottom - top) / wanted.len().max(1) as f64);
    let mut placed = wanted.to_vec();
    let mut least = f64::NEG_INFINITY;
    for &index in &order {
        placed[index] = placed[index].max(least);
        least = placed[index] + gap;
    }
    let mut most = bottom;
    for &index in order.iter().rev() {
        placed[index] = placed[index].min(most);
        most = placed[index] - gap;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_moved_apart_and_stay_inside() {
        assert_eq!(spread_out(&[50.0, 10.0, 51.0], 15.0, 0.0, 100.0), [50.0, 10.0, 65.0]);
        assert_eq!(spread_out(&[99.0, 98.0], 15.0, 0.0, 100.0), [100.0, 85.0]);
    }
}
