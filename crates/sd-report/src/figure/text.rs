//! Text in figures: how wide it is, and names that do not lie on each other.

/// Size of all text, in pixels.
pub(super) const TEXT: f64 = 12.5;
/// Least distance of two line names.
pub(super) const NAME_GAP: f64 = 15.0;
const LONGEST_NAME: usize = 26;

/// About as wide as a sans-serif face draws it; nothing here knows the reader's fonts.
pub(super) fn width(text: &str) -> f64 {
    text.chars().count() as f64 * TEXT * 0.58
}

/// The name, or as much of it as there is room for.
pub(super) fn cut(name: &str) -> String {
    cut_to(name, LONGEST_NAME)
}

/// The name, or as much of it as this many letters say.
pub(super) fn cut_to(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    name.chars().take(letters - 1).chain(['…']).collect()
}

/// Moves what is closer than `gap` apart, in order and within `top..=bottom` where that can be.
pub(super) fn apart(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
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
    fn names_are_kept_apart_and_inside() {
        assert_eq!(apart(&[50.0, 10.0, 51.0], 15.0, 0.0, 100.0), [50.0, 10.0, 65.0]);
        assert_eq!(apart(&[99.0, 98.0], 15.0, 0.0, 100.0), [100.0, 85.0]);
    }
}
