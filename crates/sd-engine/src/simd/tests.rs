//! The vectors of every processor against plain loops.

use super::*;
use crate::kernel::gemm::{PackedMatrix, Rows};

/// Small integers: `f32` sums of them are exact in any order.
fn value(seed: usize) -> f32 {
    (seed * 7919 % 13) as f32 - 6.0
}

/// Rows, depth and outputs.
const SIZES: [[usize; 3]; 7] =
    [[1, 1, 1], [3, 6, 100], [13, 5, 16], [12, 3, 17], [31, 9, 40], [6, 0, 2], [25, 4, 33]];

/// A product whose rows have two segments, and its sums.
struct Product<'a, Scalar, Lane, Init, Sum> {
    packed: &'a PackedMatrix<Lane, Init>,
    rows: Rows<'a, Scalar>,
    found: &'a mut Vec<[Sum; LANES]>,
}

impl FloatLoop for FloatProduct<'_> {
    fn run<F: FloatVector>(self) {
        let panels = self.packed.outputs().div_ceil(LANES);
        self.packed.multiply(&self.rows, |row, panel, sums: &[F]| {
            for (r, sums) in sums.iter().enumerate() {
                self.found[(row + r) * panels + panel] = sums.relu().store();
            }
        });
    }
}

impl Int8Loop for Int8Product<'_> {
    fn run<A: Int8Accumulator>(self) {
        let panels = self.packed.outputs().div_ceil(LANES);
        self.packed.multiply(&self.rows, |row, panel, sums: &[A]| {
            for (r, sums) in sums.iter().enumerate() {
                self.found[(row + r) * panels + panel] = sums.store();
            }
        });
    }
}

type FloatProduct<'a> = Product<'a, f32, f32, f32, f32>;
type Int8Product<'a> = Product<'a, [u8; 4], [i8; 4], i32, i32>;

/// Offsets of rows and of their two segments, with a gap between the segments.
fn offsets(count: usize, depth: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..count).map(|row| row * (2 * depth + 3)).collect(), vec![0, depth + 1])
}

#[test]
fn float_products_are_equal_on_every_processor() {
    for [count, depth, outputs] in SIZES {
        let (row_offsets, segment_offsets) = offsets(count, depth);
        let values: Vec<f32> = (0..count * (2 * depth + 3)).map(value).collect();
        let weight = |output: usize, k: usize| value(output * 31 + k * 17 + 3);
        let bias: Vec<f32> = (0..outputs).map(|output| value(output + 5)).collect();
        let packed = PackedMatrix::new(&bias, 2 * depth, |output, row: &mut [f32]| {
            row.iter_mut().enumerate().for_each(|(k, to)| *to = weight(output, k));
        });
        let sum = |row: usize, output: usize| {
            let at = |k: usize| row_offsets[row] + k + k / depth.max(1);
            let terms = (0..2 * depth).map(|k| values[at(k)] * weight(output, k));
            (bias[output] + terms.sum::<f32>()).max(0.0)
        };
        let panels = outputs.div_ceil(LANES);
        let check = |name: &str, run: &dyn Fn(FloatProduct)| {
            let mut found = vec![[-1.0; LANES]; count * panels];
            let rows = Rows {
                values: &values,
                row_offsets: &row_offsets,
                segment_offsets: &segment_offsets,
                segment_len: depth,
            };
            run(Product { packed: &packed, rows, found: &mut found });
            for (row, output) in (0..count).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                let found = found[row * panels + output / LANES][output % LANES];
                assert_eq!(found, sum(row, output), "{name}, {count} {depth} {outputs}");
            }
        };
        check("widest", &|task| dispatch_float(task));
        check("plain", &|task| task.run::<[f32; LANES]>());
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has these features.
            check("AVX2", &|task| unsafe { x86::float_avx2(task) });
        }
    }
}

/// Inputs of multiply-add, maximum and ReLU, and their results.
struct ElementWise<'a>([[f32; LANES]; 4], &'a mut [[f32; LANES]; 2]);

impl FloatLoop for ElementWise<'_> {
    fn run<F: FloatVector>(self) {
        let [init, a, b, other] = self.0;
        let sums = F::load(&init).mul_add(&a, &b);
        *self.1 = [sums.max(&other).store(), sums.relu().store()];
    }
}

#[test]
fn element_wise_operations_are_equal_on_every_processor() {
    let values = |seed: usize| std::array::from_fn(|lane| value(lane * 31 + seed));
    let mut inputs: [[f32; LANES]; 4] = std::array::from_fn(values);
    // NaN stays NaN in a sum; the maximum ignores NaN in `other`.
    (inputs[0][3], inputs[3][5]) = (f32::NAN, f32::NAN);
    let [init, a, b, other] = inputs;
    let sum = |lane: usize| init[lane] + a[lane] * b[lane];
    let larger = |lane: usize| if other[lane] > sum(lane) { other[lane] } else { sum(lane) };
    let above = |lane: usize| if sum(lane) < 0.0 { 0.0 } else { sum(lane) };
    let expected = [std::array::from_fn(larger), std::array::from_fn(above)];
    let bits = |lines: [[f32; LANES]; 2]| lines.map(|line| line.map(f32::to_bits));
    let check = |name: &str, run: &dyn Fn(ElementWise)| {
        let mut found = [[-1.0; LANES]; 2];
        run(ElementWise(inputs, &mut found));
        assert_eq!(bits(found), bits(expected), "{name}");
    };
    check("widest", &|task| dispatch_float(task));
    check("plain", &|task| task.run::<[f32; LANES]>());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has these features.
        check("AVX2", &|task| unsafe { x86::float_avx2(task) });
    }
}

#[test]
fn int8_products_are_equal_on_every_processor() {
    for [count, depth, outputs] in SIZES {
        let (row_offsets, segment_offsets) = offsets(count, depth);
        // With the largest bytes, so that sums of two products overflow 16 bits.
        let left = |seed: usize| [255, (seed * 7919 % 256) as u8, 255, seed as u8];
        let right = |seed: usize| [127, (seed * 31 % 256) as u8 as i8, 127, -128];
        let values: Vec<[u8; 4]> = (0..count * (2 * depth + 3)).map(left).collect();
        let weight = |output: usize, k: usize| right(output * 31 + k * 17 + 3);
        let init: Vec<i32> = (0..outputs as i32).map(|output| 7 - output).collect();
        let packed = PackedMatrix::new(&init, 2 * depth, |output, row: &mut [[i8; 4]]| {
            row.iter_mut().enumerate().for_each(|(k, to)| *to = weight(output, k));
        });
        let sum = |row: usize, output: usize| {
            let at = |k: usize| row_offsets[row] + k + k / depth.max(1);
            let quad = |k: usize| {
                let (left, right) = (values[at(k)], weight(output, k));
                (0..4).map(|lane| i32::from(left[lane]) * i32::from(right[lane])).sum::<i32>()
            };
            7 - output as i32 + (0..2 * depth).map(quad).sum::<i32>()
        };
        let panels = outputs.div_ceil(LANES);
        let check = |name: &str, run: &dyn Fn(Int8Product)| {
            let mut found = vec![[-1; LANES]; count * panels];
            let rows = Rows {
                values: &values,
                row_offsets: &row_offsets,
                segment_offsets: &segment_offsets,
                segment_len: depth,
            };
            run(Product { packed: &packed, rows, found: &mut found });
            for (row, output) in (0..count).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                let found = found[row * panels + output / LANES][output % LANES];
                assert_eq!(found, sum(row, output), "{name}, {count} {depth} {outputs}");
            }
        };
        check("widest", &|task| dispatch_int8(task));
        check("plain", &|task| task.run::<[i32; LANES]>());
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has these features.
            check("AVX2", &|task| unsafe { x86::int8_avx2(task) });
        }
    }
}
