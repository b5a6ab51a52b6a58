//! Inputs and outputs of a network.

/// A batch of `f32` values, `[N, …]` in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Whether a feature map `[N, C, H, W]` is stored as `[N, H, W, C]`.
    channels_last: bool,
}

impl Batch {
    /// A batch of this shape; `None` if `values` does not fill it or it has no axes.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side))?;
        let fits = !shape.is_empty() && count == values.len();
        fits.then_some(Self { shape, values, channels_last: false })
    }

    /// A batch `[N, C, H, W]` whose values are stored as `[N, H, W, C]`.
    pub(crate) fn channels_last(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        Self::new(shape, values).map(|batch| Self { channels_last: true, ..batch })
    }

    /// Whether the values are stored as `[N, H, W, C]`. The engine returns feature maps in this layout
    /// so that the next segment of a staged network takes them without a copy.
    pub fn is_channels_last(&self) -> bool {
        self.channels_last
    }

    /// The shape, N first; channels come second in either layout.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// N.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Whether N is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values, in the layout told by [`is_channels_last`](Self::is_channels_last).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Shape and values.
    pub fn into_parts(self) -> (Vec<usize>, Vec<f32>) {
        (self.shape, self.values)
    }

    /// The values of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn row(&self, index: usize) -> &[f32] {
        let row_len = self.values.len() / self.len();
        &self.values[index * row_len..][..row_len]
    }

    /// Concatenates the outputs of several runs along N. `None` if there are no runs, or their shapes
    /// differ in more than N.
    pub fn concat(runs: Vec<Vec<Self>>) -> Option<Vec<Self>> {
        let mut runs = runs.into_iter();
        let mut outputs = runs.next()?;
        for run in runs {
            if run.len() != outputs.len() {
                return None;
            }
            for (output, next) in outputs.iter_mut().zip(run) {
                if output.shape[1..] != next.shape[1..]
                    || output.channels_last != next.channels_last
                {
                    return None;
                }
                output.shape[0] += next.shape[0];
                output.values.extend(next.values);
            }
        }
        Some(outputs)
    }

    /// Copies these images, in this order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, images: &[usize]) -> Self {
        let mut values = Vec::with_capacity(self.values.len() / self.len() * images.len());
        images.iter().for_each(|&image| values.extend_from_slice(self.row(image)));
        let shape = [images.len()].into_iter().chain(self.shape[1..].iter().copied()).collect();
        Self { shape, values, channels_last: self.channels_last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_fill_the_shape() {
        assert!(Batch::new(vec![2, 3], vec![0.0; 6]).is_some());
        for (shape, count) in [(vec![2, 3], 5), (vec![], 1), (vec![usize::MAX, 4], 4)] {
            assert!(Batch::new(shape, vec![0.0; count]).is_none());
        }
    }

    #[test]
    fn runs_are_concatenated_if_they_differ_in_n_only() {
        let run = |images: usize, len: usize| {
            vec![Batch::new(vec![images, len], vec![images as f32; images * len]).unwrap()]
        };
        let outputs = Batch::concat(vec![run(1, 2), run(2, 2)]).unwrap();
        let expected = Batch::new(vec![3, 2], vec![1.0, 1.0, 2.0, 2.0, 2.0, 2.0]).unwrap();
        assert_eq!(outputs, [expected]);
        assert!(Batch::concat(vec![run(1, 2), run(1, 3)]).is_none());
        assert!(Batch::concat(vec![run(1, 2), vec![]]).is_none());
    }

    #[test]
    fn selection_and_concatenation_keep_the_layout() {
        let maps =
            Batch::channels_last(vec![2, 2, 1, 2], (0..8).map(|index| index as f32).collect());
        let maps = maps.unwrap();
        let second = maps.select(&[1]);
        assert!(second.is_channels_last());
        let both = Batch::concat(vec![vec![maps.select(&[0])], vec![second]]).unwrap();
        assert_eq!(both, std::slice::from_ref(&maps));
        let plain = Batch::new(vec![1, 2, 1, 2], vec![0.0; 4]).unwrap();
        assert!(Batch::concat(vec![vec![maps], vec![plain]]).is_none());
    }

    #[test]
    fn images_are_selected_in_order() {
        let batch = Batch::new(vec![3, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let two = batch.select(&[2, 0]);
        assert_eq!(
            (two.shape(), two.values()),
            ([2, 2].as_slice(), [4.0, 5.0, 0.0, 1.0].as_slice())
        );
    }
}
