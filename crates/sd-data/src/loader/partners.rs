//! Random partners of the same class.

use rand::RngExt;

use crate::random::Stream;

/// The images of each class.
#[derive(Debug)]
pub(super) struct Partners {
    by_class: Vec<Vec<usize>>,
}

impl Partners {
    pub(super) fn new(labels: &[usize], classes: usize) -> Self {
        let mut by_class = vec![Vec::new(); classes];
        for (sample, &label) in labels.iter().enumerate() {
            by_class[label].push(sample);
        }
        Self { by_class }
    }

    /// A partner of `sample`, drawn uniformly from the other images of the class `label`; `sample`
    /// itself if there are none.
    pub(super) fn draw(&self, sample: usize, label: usize, random: &mut Stream) -> usize {
        let class = &self.by_class[label];
        match class.split_last() {
            Some((&last, others)) if !others.is_empty() => {
                let drawn = others[random.random_range(..others.len())];
                // The last image is not drawn from `others`: it replaces `sample`.
                if drawn == sample { last } else { drawn }
            }
            _ => sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn partners_are_uniform_over_the_class() {
        let partners = Partners::new(&[0, 1, 0, 0, 2, 1, 0], 3);
        for (sample, label, others) in
            [(0, 0, vec![2, 3, 6]), (6, 0, vec![0, 2, 3]), (5, 1, vec![1]), (4, 2, vec![4])]
        {
            let draw = |epoch| partners.draw(sample, label, &mut random::of_partner(0, epoch, 0));
            let mut counts = [0usize; 7];
            (0..600).for_each(|epoch| counts[draw(epoch)] += 1);
            let fair = 600 / others.len();
            for (other, count) in counts.into_iter().enumerate() {
                let expected = if others.contains(&other) { fair } else { 0 };
                assert!(count.abs_diff(expected) <= fair / 4, "{other} of {sample}: {count}");
            }
        }
    }
}
