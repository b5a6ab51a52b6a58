//! Numbers that go into a network and come out.

/// A batch: `[N, …]` in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Whether the values of a map `[N, C, H, W]` lie as `[N, H, W, C]`: between the segments of a
    /// network that our own kernels run.
    channels_last: bool,
}

impl Batch {
    /// A batch of this shape; none if `values` does not fill it or it has no side for the images.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        let count = shape.iter().try_fold(1usize, |count, &side| count.checked_mul(side))?;
        let fits = !shape.is_empty() && count == values.len();
        fits.then_some(Self { shape, values, channels_last: false })
    }

    /// A batch `[N, C, H, W]` whose values lie as `[N, H, W, C]`.
    pub(crate) fn channels_last(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        Self::new(shape, values).map(|batch| Self { channels_last: true, ..batch })
    }

    /// Whether its values lie as `[N, H, W, C]`: of a map that our own kernels give to the next
    /// segment of a network.
    pub fn is_channels_last(&self) -> bool {
        self.channels_last
    }

    /// Its sides, that of the images first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// N.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All numbers, see [`is_channels_last`](Self::is_channels_last).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Its shape and numbers.
    pub fn into_parts(self) -> (Vec<usize>, Vec<f32>) {
        (self.shape, self.values)
    }

    /// The numbers of image `index`.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn row(&self, index: usize) -> &[f32] {
        let each = self.values.len() / self.len();
        &self.values[index * each..][..each]
    }

    /// The outputs of parts of a batch, each output of all of them as one. None if there is no part,
    /// or they differ in more than the number of images.
    pub fn concat(parts: Vec<Vec<Self>>) -> Option<Vec<Self>> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?;
        for part in parts {
            if part.len() != whole.len() {
                return None;
            }
            for (whole, part) in whole.iter_mut().zip(part) {
                if whole.shape[1..] != part.shape[1..] || whole.channels_last != part.channels_last
                {
                    return None;
                }
                whole.shape[0] += part.shape[0];
                whole.values.extend(part.values);
            }
        }
        Some(whole)
    }

    /// These images alone, in this order.
    ///
    /// # Panics
    /// When one is not below [`len`](Self::len).
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
    fn values_fill_the_shape() {
        assert!(Batch::new(vec![2, 3], vec![0.0; 6]).is_some());
        for (shape, count) in [(vec![2, 3], 5), (vec![], 1), (vec![usize::MAX, 4], 4)] {
            assert!(Batch::new(shape, vec![0.0; count]).is_none());
        }
    }

    #[test]
    fn parts_join_where_they_differ_in_their_images_alone() {
        let part = |images: usize, each: usize| {
            vec![Batch::new(vec![images, each], vec![images as f32; images * each]).unwrap()]
        };
        let whole = Batch::concat(vec![part(1, 2), part(2, 2)]).unwrap();
        let expected = Batch::new(vec![3, 2], vec![1.0, 1.0, 2.0, 2.0, 2.0, 2.0]).unwrap();
        assert_eq!(whole, [expected]);
        assert!(Batch::concat(vec![part(1, 2), part(1, 3)]).is_none());
        assert!(Batch::concat(vec![part(1, 2), vec![]]).is_none());
    }

    #[test]
    fn maps_stay_channels_last_where_images_are_selected_and_parts_joined() {
        let maps = Batch::channels_last(vec![2, 2, 1, 2], (0..8).map(|at| at as f32).collect());
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
