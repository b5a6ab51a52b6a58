//! A product of matrices, whose right one is packed once.

#![allow(unsafe_code, reason = "no bounds are checked in the innermost loop")]

use crate::simd::{LANES, Sums};

/// Weights `[outputs, depth]` and what each output's sum starts from, in panels of 16 outputs: one
/// line of weights for each place of the depth. What is missing in the last panel is zeros.
#[derive(Debug)]
pub struct Packed<Right, Start> {
    depth: usize,
    outputs: usize,
    lines: Vec<[Right; LANES]>,
    starts: Vec<[Start; LANES]>,
}

/// Rows of a matrix, each of which lies in pieces of the same length.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, Left> {
    pub values: &'a [Left],
    /// Where each row starts.
    pub starts: &'a [usize],
    /// Where each piece of a row starts, counted from the row's start.
    pub pieces: &'a [usize],
    /// Numbers of a piece.
    pub length: usize,
}

impl<Right: Copy + Default, Start: Copy + Default> Packed<Right, Start> {
    /// Packs the rows of weights that `fill(output, row)` writes.
    pub fn new(starts: &[Start], depth: usize, fill: impl Fn(usize, &mut [Right])) -> Self {
        let outputs = starts.len();
        let panels = outputs.div_ceil(LANES);
        let mut lines = vec![[Right::default(); LANES]; panels * depth];
        let mut row = vec![Right::default(); depth];
        for output in 0..outputs {
            fill(output, &mut row);
            let lines = &mut lines[output / LANES * depth..][..depth];
            lines.iter_mut().zip(&row).for_each(|(line, weight)| line[output % LANES] = *weight);
        }
        Self { depth, outputs, lines, starts: sixteens(starts) }
    }

    /// Numbers that it holds.
    pub fn numbers(&self) -> usize {
        (self.lines.len() + self.starts.len()) * LANES
    }

    /// Numbers of a row that goes in.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Numbers of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Each row times the weights: `write(row, panel, sums)` takes the sums of sixteen outputs, of
    /// this row and the ones after it.
    ///
    /// # Panics
    /// Where the pieces of a row are not as long as the depth, or lie outside the values.
    #[inline(always)]
    pub fn multiply<S: Sums<Right = Right, Start = Start>>(
        &self,
        rows: &Rows<S::Left>,
        mut write: impl FnMut(usize, usize, &[S]),
    ) {
        let count = rows.starts.len();
        let largest = |numbers: &[usize]| numbers.iter().max().copied().unwrap_or_default();
        let end = largest(rows.pieces).checked_add(rows.length);
        let end = end.and_then(|end| end.checked_add(largest(rows.starts)));
        let depth = rows.pieces.len().checked_mul(rows.length);
        assert_eq!(depth, Some(self.depth), "numbers of a row");
        assert!(
            end.is_some_and(|end| count == 0 || end <= rows.values.len()),
            "rows among the values"
        );
        // A sum waits for the one before it: of few rows, several panels are summed at once.
        if count < 4 {
            let whole = self.starts.len() / 4 * 4;
            for row in 0..count {
                for panel in (0..whole).step_by(4) {
                    self.tile::<S, 1, 4>(rows, row, panel, &mut write);
                }
                for panel in whole..self.starts.len() {
                    self.tile::<S, 1, 1>(rows, row, panel, &mut write);
                }
            }
            return;
        }
        for panel in 0..self.starts.len() {
            self.panel(rows, panel, &mut write);
        }
    }

    /// All rows of a panel.
    #[inline(always)]
    fn panel<S: Sums<Right = Right, Start = Start>>(
        &self,
        rows: &Rows<S::Left>,
        panel: usize,
        write: &mut impl FnMut(usize, usize, &[S]),
    ) {
        let (count, mut row) = (rows.starts.len(), 0);
        while row + S::ROWS <= count {
            match S::ROWS {
                12 => self.tile::<S, 12, 1>(rows, row, panel, write),
                6 => self.tile::<S, 6, 1>(rows, row, panel, write),
                _ => self.tile::<S, 4, 1>(rows, row, panel, write),
            }
            row += S::ROWS;
        }
        if row + 4 <= count {
            self.tile::<S, 4, 1>(rows, row, panel, write);
            row += 4;
        }
        if row + 4 <= count {
            self.tile::<S, 4, 1>(rows, row, panel, write);
            row += 4;
        }
        for row in row..count {
            self.tile::<S, 1, 1>(rows, row, panel, write);
        }
    }

    /// `R` rows of `P` panels.
    #[inline(always)]
    fn tile<S: Sums<Right = Right, Start = Start>, const R: usize, const P: usize>(
        &self,
        rows: &Rows<S::Left>,
        row: usize,
        panel: usize,
        write: &mut impl FnMut(usize, usize, &[S]),
    ) {
        let mut sums = [[S::start(&self.starts[panel]); R]; P];
        for p in 1..P {
            sums[p] = [S::start(&self.starts[panel + p]); R];
        }
        let starts: &[usize; R] = rows.starts[row..].first_chunk().expect("so many rows");
        let mut from = [rows.values.as_ptr(); R];
        for r in 0..R {
            from[r] = from[r].wrapping_add(starts[r]);
        }
        let mut lines: [&[[Right; LANES]]; P] = [&[]; P];
        for p in 0..P {
            lines[p] = &self.lines[(panel + p) * self.depth..][..self.depth];
        }
        let mut at = 0;
        for piece in rows.pieces {
            for place in *piece..piece + rows.length {
                for p in 0..P {
                    for r in 0..R {
                        // SAFETY: `multiply` has seen that every piece of every row is among the
                        // values, and that all pieces together are as long as the depth.
                        let (left, line) =
                            unsafe { (*from[r].add(place), lines[p].get_unchecked(at)) };
                        sums[p][r] = sums[p][r].plus_product(left, line);
                    }
                }
                at += 1;
            }
        }
        for p in 0..P {
            write(row, panel + p, &sums[p]);
        }
    }
}

/// Numbers sixteen by sixteen, zeros behind the last.
pub fn sixteens<T: Copy + Default>(numbers: &[T]) -> Vec<[T; LANES]> {
    let sixteen =
        |numbers: &[T]| std::array::from_fn(|lane| numbers.get(lane).copied().unwrap_or_default());
    numbers.chunks(LANES).map(sixteen).collect()
}
