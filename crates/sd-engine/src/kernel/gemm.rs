//! Matrix products with weights that are packed once.

#![allow(unsafe_code, reason = "no bounds checks in the innermost loop")]

use crate::simd::{
    Accumulator, FloatLoop, FloatVector, LANES, dispatch_float, store_partial, to_lanes,
};

/// Weights `[outputs, depth]` and initial sums (biases), packed in panels of 16 outputs and padded
/// with zeros.
#[derive(Debug)]
pub struct PackedMatrix<Lane, Init> {
    depth: usize,
    outputs: usize,
    /// `[panels, depth]`, one vector of 16 outputs each.
    weights: Vec<[Lane; LANES]>,
    /// One vector per panel.
    init: Vec<[Init; LANES]>,
}

/// `f32` weights and biases.
pub type FloatMatrix = PackedMatrix<f32, f32>;

/// Rows of the left matrix, read in place: each is a number of segments of equal length, as a window
/// covers them on a feature map (im2col without the copy).
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T> {
    pub values: &'a [T],
    /// Start of each row.
    pub row_offsets: &'a [usize],
    /// Start of each segment, relative to its row's.
    pub segment_offsets: &'a [usize],
    pub segment_len: usize,
}

impl<Lane: Copy + Default, Init: Copy + Default> PackedMatrix<Lane, Init> {
    /// Packs the weights of each output, which `fill(output, row)` writes.
    pub fn new(init: &[Init], depth: usize, fill: impl Fn(usize, &mut [Lane])) -> Self {
        let outputs = init.len();
        let panels = outputs.div_ceil(LANES);
        let mut weights = vec![[Lane::default(); LANES]; panels * depth];
        let mut row = vec![Lane::default(); depth];
        for output in 0..outputs {
            fill(output, &mut row);
            let panel = &mut weights[output / LANES * depth..][..depth];
            panel.iter_mut().zip(&row).for_each(|(lanes, weight)| lanes[output % LANES] = *weight);
        }
        Self { depth, outputs, weights, init: to_lanes(init) }
    }

    /// Length of a row of the left matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Length of a row of the product.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Multiplies each row with the weights. `write(row, panel, sums)` receives the 16 sums of a
    /// panel for this row and the rows after it.
    ///
    /// # Panics
    /// If the segments of a row do not add up to the depth, or reach beyond the values.
    #[inline(always)]
    pub fn multiply<A: Accumulator<Lane = Lane, Init = Init>>(
        &self,
        rows: &Rows<A::Scalar>,
        mut write: impl FnMut(usize, usize, &[A]),
    ) {
        let count = rows.row_offsets.len();
        let max = |offsets: &[usize]| offsets.iter().max().copied().unwrap_or_default();
        let end = max(rows.segment_offsets).checked_add(rows.segment_len);
        let end = end.and_then(|end| end.checked_add(max(rows.row_offsets)));
        let depth = rows.segment_offsets.len().checked_mul(rows.segment_len);
        assert_eq!(depth, Some(self.depth), "length of a row");
        assert!(
            end.is_some_and(|end| count == 0 || end <= rows.values.len()),
            "rows within the values"
        );
        // A sum depends on the previous one: with few rows, several panels run at once.
        if count < 4 {
            let whole = self.init.len() / 4 * 4;
            for row in 0..count {
                for panel in (0..whole).step_by(4) {
                    self.tile::<A, 1, 4>(rows, row, panel, &mut write);
                }
                for panel in whole..self.init.len() {
                    self.tile::<A, 1, 1>(rows, row, panel, &mut write);
                }
            }
            return;
        }
        for panel in 0..self.init.len() {
            self.panel(rows, panel, &mut write);
        }
    }

    /// All rows of a panel.
    #[inline(always)]
    fn panel<A: Accumulator<Lane = Lane, Init = Init>>(
        &self,
        rows: &Rows<A::Scalar>,
        panel: usize,
        write: &mut impl FnMut(usize, usize, &[A]),
    ) {
        let (count, mut row) = (rows.row_offsets.len(), 0);
        while row + A::TILE_ROWS <= count {
            match A::TILE_ROWS {
                12 => self.tile::<A, 12, 1>(rows, row, panel, write),
                6 => self.tile::<A, 6, 1>(rows, row, panel, write),
                _ => self.tile::<A, 4, 1>(rows, row, panel, write),
            }
            row += A::TILE_ROWS;
        }
        if row + 4 <= count {
            self.tile::<A, 4, 1>(rows, row, panel, write);
            row += 4;
        }
        if row + 4 <= count {
            self.tile::<A, 4, 1>(rows, row, panel, write);
            row += 4;
        }
        for row in row..count {
            self.tile::<A, 1, 1>(rows, row, panel, write);
        }
    }

    /// `R` rows of `P` panels.
    #[inline(always)]
    fn tile<A: Accumulator<Lane = Lane, Init = Init>, const R: usize, const P: usize>(
        &self,
        rows: &Rows<A::Scalar>,
        row: usize,
        panel: usize,
        write: &mut impl FnMut(usize, usize, &[A]),
    ) {
        let mut sums = [[A::load(&self.init[panel]); R]; P];
        for p in 1..P {
            sums[p] = [A::load(&self.init[panel + p]); R];
        }
        let offsets: &[usize; R] = rows.row_offsets[row..].first_chunk().expect("R rows");
        let mut row_starts = [rows.values.as_ptr(); R];
        for r in 0..R {
            row_starts[r] = row_starts[r].wrapping_add(offsets[r]);
        }
        let mut weights: [&[[Lane; LANES]]; P] = [&[]; P];
        for p in 0..P {
            weights[p] = &self.weights[(panel + p) * self.depth..][..self.depth];
        }
        let mut k = 0;
        for segment in rows.segment_offsets {
            for offset in *segment..segment + rows.segment_len {
                for p in 0..P {
                    for r in 0..R {
                        // SAFETY: `multiply` has asserted that every segment of every row lies
                        // within the values, and that the segments add up to the depth.
                        let (scalar, lanes) =
                            unsafe { (*row_starts[r].add(offset), weights[p].get_unchecked(k)) };
                        sums[p][r] = sums[p][r].mul_add_scalar(scalar, lanes);
                    }
                }
                k += 1;
            }
        }
        for p in 0..P {
            write(row, panel + p, &sums[p]);
        }
    }
}

impl FloatMatrix {
    /// Multiplies each row with the weights, adds the biases and, if `relu`, applies a ReLU. Rows of
    /// the product start `stride` values apart in `to`.
    pub fn multiply_into(&self, rows: &Rows<f32>, relu: bool, to: &mut [f32], stride: usize) {
        dispatch_float(FloatProduct { matrix: self, rows, relu, to, stride });
    }
}

struct FloatProduct<'a> {
    matrix: &'a FloatMatrix,
    rows: &'a Rows<'a, f32>,
    relu: bool,
    to: &'a mut [f32],
    stride: usize,
}

impl FloatLoop for FloatProduct<'_> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let Self { matrix, rows, relu, to, stride } = self;
        matrix.multiply(
            rows,
            #[inline(always)]
            |row, panel, sums: &[F]| {
                let first = panel * LANES;
                let columns = LANES.min(matrix.outputs() - first);
                let to = &mut to[row * stride + first..];
                for r in 0..sums.len() {
                    let sums = if relu { sums[r].relu() } else { sums[r] };
                    store_partial(sums.store(), &mut to[r * stride..][..columns]);
                }
            },
        );
    }
}
