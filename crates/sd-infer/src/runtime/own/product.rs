//! A product of matrices, whose right one is packed once.

#![allow(unsafe_code, reason = "the processor's vectors; each use says why it is sound")]

/// Columns of a panel.
const PANEL: usize = 16;

/// Weights `[outputs, depth]` and biases, in panels of 16 outputs: first their biases, then their
/// weights for each place of the depth. What is missing in the last one is zeros.
#[derive(Debug)]
pub struct Packed {
    depth: usize,
    outputs: usize,
    panels: Vec<f32>,
}

/// Rows of a matrix: each `stride` numbers after the one before.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub count: usize,
}

impl Packed {
    /// Packs the rows of weights that `fill(output, row)` writes.
    pub fn new(bias: &[f32], depth: usize, fill: impl Fn(usize, &mut [f32])) -> Self {
        let outputs = bias.len();
        let size = PANEL * (depth + 1);
        let mut panels = vec![0.0; outputs.div_ceil(PANEL) * size];
        let mut row = vec![0.0; depth];
        for (output, &bias) in bias.iter().enumerate() {
            fill(output, &mut row);
            let lane = panels[output / PANEL * size..][..size].iter_mut().skip(output % PANEL);
            let numbers = std::iter::once(&bias).chain(&row);
            lane.step_by(PANEL).zip(numbers).for_each(|(packed, number)| *packed = *number);
        }
        Self { depth, outputs, panels }
    }

    /// Numbers that it holds.
    pub fn numbers(&self) -> usize {
        self.panels.len()
    }

    /// Numbers of a row that goes in.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Numbers of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Each row times the weights, plus the biases, and nothing below zero if `rectify`; written to
    /// `to`, each row `stride` numbers after the one before.
    pub fn multiply(&self, rows: Rows, rectify: bool, to: &mut [f32], stride: usize) {
        let job = Job { packed: self, rows, rectify, stride };
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has it.
                return unsafe { x86::with_avx512(&job, to) };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the processor has them.
                return unsafe { x86::with_avx2(&job, to) };
            }
        }
        job.run::<[f32; PANEL], 4>(to);
    }
}

/// Nothing below zero. What is no number stays none.
#[inline(always)]
pub fn rectify(number: &mut f32) {
    // An assignment in either case, so that no branch is needed.
    *number = if *number < 0.0 { 0.0 } else { *number };
}

struct Job<'a> {
    packed: &'a Packed,
    rows: Rows<'a>,
    rectify: bool,
    stride: usize,
}

/// The numbers of a panel's width, as a processor holds them.
trait Lanes: Copy {
    fn load(from: &[f32; PANEL]) -> Self;
    fn plus_product(self, factor: f32, other: Self) -> Self;
    /// See [`rectify`].
    fn rectified(self) -> Self;
    fn store(self) -> [f32; PANEL];
}

impl Lanes for [f32; PANEL] {
    #[inline(always)]
    fn load(from: &[f32; PANEL]) -> Self {
        *from
    }

    #[inline(always)]
    fn plus_product(mut self, factor: f32, other: Self) -> Self {
        for lane in 0..PANEL {
            self[lane] += factor * other[lane];
        }
        self
    }

    #[inline(always)]
    fn rectified(mut self) -> Self {
        self.iter_mut().for_each(rectify);
        self
    }

    #[inline(always)]
    fn store(self) -> [f32; PANEL] {
        self
    }
}

impl Job<'_> {
    /// `R` rows at once, as many as fit the processor's registers.
    #[inline(always)]
    fn run<L: Lanes, const R: usize>(&self, to: &mut [f32]) {
        let size = PANEL * (self.packed.depth + 1);
        // A sum waits for the one before it: of few rows, several panels are summed at once.
        if self.rows.count < 4 {
            for (index, panels) in self.packed.panels.chunks(4 * size).enumerate() {
                for row in 0..self.rows.count {
                    let at = 4 * index * PANEL;
                    match panels.len() / size {
                        4 => self.strip::<L, 4>(panels, row, at, to),
                        count => (0..count).for_each(|panel| {
                            let of = &panels[panel * size..][..size];
                            self.strip::<L, 1>(of, row, at + panel * PANEL, to);
                        }),
                    }
                }
            }
            return;
        }
        for (index, panel) in self.packed.panels.chunks_exact(size).enumerate() {
            let at = index * PANEL;
            let mut row = 0;
            while row + R <= self.rows.count {
                self.tile::<L, R>(panel, row, at, to);
                row += R;
            }
            if row + 8 <= self.rows.count {
                self.tile::<L, 8>(panel, row, at, to);
                row += 8;
            }
            if row + 4 <= self.rows.count {
                self.tile::<L, 4>(panel, row, at, to);
                row += 4;
            }
            while row < self.rows.count {
                self.tile::<L, 1>(panel, row, at, to);
                row += 1;
            }
        }
    }

    #[inline(always)]
    fn tile<L: Lanes, const R: usize>(&self, panel: &[f32], row: usize, at: usize, to: &mut [f32]) {
        let depth = self.packed.depth;
        let from = |r: usize| &self.rows.values[(row + r) * self.rows.stride..][..depth];
        let from: [&[f32]; R] = std::array::from_fn(from);
        let (lines, _) = panel.as_chunks::<PANEL>();
        let Some((bias, lines)) = lines.split_first() else { return };
        let lines = &lines[..depth];
        let mut sums = [L::load(bias); R];
        for place in 0..depth {
            let weights = L::load(&lines[place]);
            for r in 0..R {
                sums[r] = sums[r].plus_product(from[r][place], weights);
            }
        }
        let columns = PANEL.min(self.packed.outputs - at);
        for r in 0..R {
            self.write(sums[r], &mut to[(row + r) * self.stride + at..][..columns]);
        }
    }

    /// One row, of `P` panels one behind the other.
    #[inline(always)]
    fn strip<L: Lanes, const P: usize>(
        &self,
        panels: &[f32],
        row: usize,
        at: usize,
        to: &mut [f32],
    ) {
        let depth = self.packed.depth;
        let from = &self.rows.values[row * self.rows.stride..][..depth];
        let (lines, _) = panels.as_chunks::<PANEL>();
        let panel = |p: usize| &lines[p * (depth + 1)..][..depth + 1];
        let panels: [&[[f32; PANEL]]; P] = std::array::from_fn(panel);
        let mut sums = panels.map(|lines| L::load(&lines[0]));
        for place in 0..depth {
            for p in 0..P {
                sums[p] = sums[p].plus_product(from[place], L::load(&panels[p][place + 1]));
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            let at = at + p * PANEL;
            let columns = PANEL.min(self.packed.outputs - at);
            self.write(sums, &mut to[row * self.stride + at..][..columns]);
        }
    }

    #[inline(always)]
    fn write<L: Lanes>(&self, sums: L, to: &mut [f32]) {
        let sums = if self.rectify { sums.rectified() } else { sums }.store();
        match <&mut [f32; PANEL]>::try_from(&mut *to) {
            Ok(whole) => *whole = sums,
            Err(_) => to.copy_from_slice(&sums[..to.len()]),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Job, Lanes, PANEL};

    #[derive(Clone, Copy)]
    struct Avx512(__m512);

    #[derive(Clone, Copy)]
    struct Avx2([__m256; 2]);

    #[target_feature(enable = "avx512f")]
    pub fn with_avx512(job: &Job, to: &mut [f32]) {
        job.run::<Avx512, 12>(to);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn with_avx2(job: &Job, to: &mut [f32]) {
        job.run::<Avx2, 6>(to);
    }

    impl Lanes for Avx512 {
        #[inline(always)]
        fn load(from: &[f32; PANEL]) -> Self {
            // SAFETY: 16 numbers are there, and `with_avx512` alone comes here.
            Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn plus_product(self, factor: f32, other: Self) -> Self {
            // SAFETY: `with_avx512` alone comes here.
            Self(unsafe { _mm512_fmadd_ps(_mm512_set1_ps(factor), other.0, self.0) })
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            // Of two the second one, where one of them is no number.
            // SAFETY: `with_avx512` alone comes here.
            Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
        }

        #[inline(always)]
        fn store(self) -> [f32; PANEL] {
            let mut to = [0.0; PANEL];
            // SAFETY: there is room for 16 numbers, and `with_avx512` alone comes here.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) };
            to
        }
    }

    impl Lanes for Avx2 {
        #[inline(always)]
        fn load(from: &[f32; PANEL]) -> Self {
            let (low, high) = from.split_at(8);
            // SAFETY: 8 numbers are in each, and `with_avx2` alone comes here.
            Self(unsafe { [_mm256_loadu_ps(low.as_ptr()), _mm256_loadu_ps(high.as_ptr())] })
        }

        #[inline(always)]
        fn plus_product(self, factor: f32, other: Self) -> Self {
            // SAFETY: `with_avx2` alone comes here.
            unsafe {
                let factor = _mm256_set1_ps(factor);
                let low = _mm256_fmadd_ps(factor, other.0[0], self.0[0]);
                Self([low, _mm256_fmadd_ps(factor, other.0[1], self.0[1])])
            }
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            // SAFETY: `with_avx2` alone comes here.
            unsafe {
                let zero = _mm256_setzero_ps();
                Self([_mm256_max_ps(zero, self.0[0]), _mm256_max_ps(zero, self.0[1])])
            }
        }

        #[inline(always)]
        fn store(self) -> [f32; PANEL] {
            let mut to = [0.0; PANEL];
            let (low, high) = to.split_at_mut(8);
            // SAFETY: there is room for 8 numbers in each, and `with_avx2` alone comes here.
            unsafe {
                _mm256_storeu_ps(low.as_mut_ptr(), self.0[0]);
                _mm256_storeu_ps(high.as_mut_ptr(), self.0[1]);
            }
            to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers: sums are exact in any order.
    fn number(seed: usize) -> f32 {
        (seed * 7919 % 13) as f32 - 6.0
    }

    #[test]
    fn rows_and_panels_of_every_size_are_multiplied_on_every_processor() {
        for (count, depth, outputs) in
            [(1, 1, 1), (3, 6, 100), (13, 5, 16), (12, 3, 17), (31, 9, 40), (6, 0, 2)]
        {
            let stride = depth + 2;
            let values: Vec<f32> = (0..count * stride).map(number).collect();
            let weight = |output: usize, place: usize| number(output * 31 + place * 17 + 3);
            let bias: Vec<f32> = (0..outputs).map(|output| number(output + 5)).collect();
            let packed = Packed::new(&bias, depth, |output, row| {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(place, number)| *number = weight(output, place));
            });
            let sum = |row: usize, output: usize| {
                let terms = (0..depth).map(|p| values[row * stride + p] * weight(output, p));
                (bias[output] + terms.sum::<f32>()).max(0.0)
            };
            let rows = Rows { values: &values, stride, count };
            let mut found = vec![-1.0; count * outputs];
            packed.multiply(rows, true, &mut found, outputs);
            let mut plain = vec![-1.0; count * outputs];
            let job = Job { packed: &packed, rows, rectify: true, stride: outputs };
            job.run::<[f32; PANEL], 4>(&mut plain);
            let expected: Vec<f32> =
                (0..count * outputs).map(|at| sum(at / outputs, at % outputs)).collect();
            assert_eq!(found, expected);
            assert_eq!(plain, expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let mut narrower = vec![-1.0; count * outputs];
                // SAFETY: the processor has them.
                unsafe { x86::with_avx2(&job, &mut narrower) };
                assert_eq!(narrower, expected);
            }
        }
    }
}
