//! Products with a banded matrix: convolutions over the channels, as efficient channel attention has.

use crate::buffer_pool::BufferPool;
use crate::simd::{FloatLoop, FloatVector, dispatch_float};
use crate::tensor::Tensor;

/// Diagonals at either side of the main one, at most. A wider matrix is a dense product.
const MAX_REACH: usize = 16;

/// A square matrix that has one value on each diagonal, zero beyond `reach` of the main one.
#[derive(Debug)]
pub struct BandedMatrix {
    size: usize,
    /// Values of the 2 · reach + 1 diagonals, the highest first.
    taps: Vec<f32>,
}

impl BandedMatrix {
    /// The matrix `[size, size]` of these values; `None` if it is not banded, or so wide that a dense
    /// product is as fast.
    pub fn new(values: &[f32], size: usize) -> Option<Self> {
        if size == 0 || size.checked_mul(size) != Some(values.len()) {
            return None;
        }
        let places = || (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
        let reach = |(row, column): (usize, usize), value: f32| match value == 0.0 {
            true => 0,
            false => row.abs_diff(column),
        };
        let reach = places().zip(values).map(|(place, &value)| reach(place, value)).max()?;
        if reach > MAX_REACH.min(size / 4) {
            return None;
        }
        // The first row has the values of the upper diagonals, the first column those of the others.
        let at = |row: usize, column: usize| values[row * size + column];
        let upper = (0..reach).map(|tap| at(0, reach - tap));
        let taps: Vec<f32> = upper.chain((0..=reach).map(|tap| at(tap, 0))).collect();
        let is_tap = |((row, column), &value): ((usize, usize), &f32)| {
            row.abs_diff(column) > reach || value == taps[row + reach - column]
        };
        places().zip(values).all(is_tap).then_some(Self { size, taps })
    }

    /// The products of vectors `[N, C]`; `None` if the shape is another.
    pub fn run(&self, input: &Tensor, buffers: &BufferPool) -> Option<Tensor> {
        if !input.is_vector || input.channels != self.size {
            return None;
        }
        let mut output = Tensor::acquire(buffers, input.images, input.shape())?;
        output.is_vector = true;
        dispatch_float(Product { matrix: self, input, to: &mut output.values });
        Some(output)
    }
}

struct Product<'a> {
    matrix: &'a BandedMatrix,
    input: &'a Tensor,
    to: &'a mut [f32],
}

impl FloatLoop for Product<'_> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let BandedMatrix { size, ref taps } = *self.matrix;
        let reach = taps.len() / 2;
        let vectors = self.input.values.chunks_exact(size).zip(self.to.chunks_exact_mut(size));
        for (from, to) in vectors {
            to.fill(0.0);
            for (tap, weight) in taps.iter().enumerate() {
                // Value `j` of the product has value `j + tap - reach` of the input.
                let (skipped, first) = (tap.saturating_sub(reach), reach.saturating_sub(tap));
                for (to, from) in to[first..].iter_mut().zip(&from[skipped..]) {
                    *to += weight * from;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix `[size, size]` with this kernel around the diagonal of each column.
    fn banded(kernel: &[f32], size: usize) -> Vec<f32> {
        let reach = kernel.len() / 2;
        let value = |row: usize, column: usize| {
            kernel.get((row + reach).wrapping_sub(column)).copied().unwrap_or(0.0)
        };
        (0..size).flat_map(|row| (0..size).map(move |column| value(row, column))).collect()
    }

    #[test]
    fn products_equal_those_of_the_dense_matrix() {
        for (kernel, size) in [(&[2.0, -1.0, 0.5][..], 9), (&[1., 2., 3., 4., 5.], 8), (&[3.0], 1)]
        {
            let values = banded(kernel, size);
            let matrix = BandedMatrix::new(&values, size).unwrap();
            assert_eq!(matrix.taps, kernel);
            let mut input = Tensor::zeros(2, [1, 1, size]).unwrap();
            input.is_vector = true;
            input
                .values
                .iter_mut()
                .enumerate()
                .for_each(|(at, value)| *value = (at * at % 7) as f32);
            let output = matrix.run(&input, &BufferPool::default()).unwrap();
            for (image, output) in output.values.chunks(size).enumerate() {
                for (column, &found) in output.iter().enumerate() {
                    let terms = (0..size)
                        .map(|row| input.values[image * size + row] * values[row * size + column]);
                    assert_eq!(found, terms.sum::<f32>());
                }
            }
            input.is_vector = false;
            assert!(matrix.run(&input, &BufferPool::default()).is_none());
        }
    }

    #[test]
    fn other_matrices_are_not_banded() {
        let mut values = banded(&[1.0, 2.0, 3.0], 12);
        values[5 * 12 + 5] = 2.5;
        assert!(BandedMatrix::new(&values, 12).is_none(), "another value on the diagonal");
        assert!(BandedMatrix::new(&banded(&[1.0; 9], 12), 12).is_none(), "wide");
        assert!(BandedMatrix::new(&[1.0; 12], 12).is_none(), "not square");
        assert!(BandedMatrix::new(&[], 0).is_none(), "empty");
    }
}
