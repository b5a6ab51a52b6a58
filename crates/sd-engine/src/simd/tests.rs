//! Sums of every processor beside plain ones.

use super::*;
use crate::kernel::gemm::{Packed, Rows};

/// Small whole numbers: sums are exact in any order.
fn number(seed: usize) -> f32 {
    (seed * 7919 % 13) as f32 - 6.0
}

/// Rows, depth and outputs.
const SIZES: [[usize; 3]; 7] =
    [[1, 1, 1], [3, 6, 100], [13, 5, 16], [12, 3, 17], [31, 9, 40], [6, 0, 2], [25, 4, 33]];

/// A product whose rows lie in two pieces, and where its sums go.
struct Product<'a, Left, Right, Start, Sum> {
    packed: &'a Packed<Right, Start>,
    rows: Rows<'a, Left>,
    found: &'a mut Vec<[Sum; LANES]>,
}

impl Work for FloatProduct<'_> {
    fn run<F: Floats>(self) {
        let panels = self.packed.outputs().div_ceil(LANES);
        self.packed.multiply(&self.rows, |row, panel, sums: &[F]| {
            for (r, sums) in sums.iter().enumerate() {
                self.found[(row + r) * panels + panel] = sums.rectified().store();
            }
        });
    }
}

impl ByteWork for ByteProduct<'_> {
    fn run<B: Bytes>(self) {
        let panels = self.packed.outputs().div_ceil(LANES);
        self.packed.multiply(&self.rows, |row, panel, sums: &[B]| {
            for (r, sums) in sums.iter().enumerate() {
                self.found[(row + r) * panels + panel] = sums.store();
            }
        });
    }
}

type FloatProduct<'a> = Product<'a, f32, f32, f32, f32>;
type ByteProduct<'a> = Product<'a, [u8; 4], [i8; 4], i32, i32>;

/// Where rows of two pieces start, with a gap between the pieces.
fn places(count: usize, depth: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..count).map(|row| row * (2 * depth + 3)).collect(), vec![0, depth + 1])
}

#[test]
fn sums_of_floats_are_the_same_on_every_processor() {
    for [count, depth, outputs] in SIZES {
        let (starts, pieces) = places(count, depth);
        let values: Vec<f32> = (0..count * (2 * depth + 3)).map(number).collect();
        let weight = |output: usize, place: usize| number(output * 31 + place * 17 + 3);
        let bias: Vec<f32> = (0..outputs).map(|output| number(output + 5)).collect();
        let packed = Packed::new(&bias, 2 * depth, |output, row: &mut [f32]| {
            row.iter_mut().enumerate().for_each(|(place, to)| *to = weight(output, place));
        });
        let sum = |row: usize, output: usize| {
            let at = |place: usize| starts[row] + place + place / depth.max(1);
            let terms = (0..2 * depth).map(|place| values[at(place)] * weight(output, place));
            (bias[output] + terms.sum::<f32>()).max(0.0)
        };
        let panels = outputs.div_ceil(LANES);
        let check = |name: &str, run: &dyn Fn(FloatProduct)| {
            let mut found = vec![[-1.0; LANES]; count * panels];
            let rows = Rows { values: &values, starts: &starts, pieces: &pieces, length: depth };
            run(Product { packed: &packed, rows, found: &mut found });
            for (row, output) in (0..count).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                let found = found[row * panels + output / LANES][output % LANES];
                assert_eq!(found, sum(row, output), "{name}, {count} {depth} {outputs}");
            }
        };
        check("widest", &|work| with_floats(work));
        check("plain", &|work| work.run::<[f32; LANES]>());
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has them.
            check("AVX2", &|work| unsafe { x86::floats_of_avx2(work) });
        }
    }
}

/// Sixteen numbers plus products, the larger ones of these and others, and nothing below zero.
struct OneByOne<'a>([[f32; LANES]; 4], &'a mut [[f32; LANES]; 2]);

impl Work for OneByOne<'_> {
    fn run<F: Floats>(self) {
        let [start, left, right, other] = self.0;
        let sums = F::start(&start).plus_products(&left, &right);
        *self.1 = [sums.largest(&other).store(), sums.rectified().store()];
    }
}

#[test]
fn sixteen_numbers_are_the_same_on_every_processor() {
    let numbers = |seed: usize| std::array::from_fn(|lane| number(lane * 31 + seed));
    let mut of: [[f32; LANES]; 4] = std::array::from_fn(numbers);
    // What is no number stays none in a sum, and is not taken from others.
    (of[0][3], of[3][5]) = (f32::NAN, f32::NAN);
    let [start, left, right, other] = of;
    let sum = |lane: usize| start[lane] + left[lane] * right[lane];
    let larger = |lane: usize| if other[lane] > sum(lane) { other[lane] } else { sum(lane) };
    let above = |lane: usize| if sum(lane) < 0.0 { 0.0 } else { sum(lane) };
    let expected = [std::array::from_fn(larger), std::array::from_fn(above)];
    let bits = |lines: [[f32; LANES]; 2]| lines.map(|line| line.map(f32::to_bits));
    let check = |name: &str, run: &dyn Fn(OneByOne)| {
        let mut found = [[-1.0; LANES]; 2];
        run(OneByOne(of, &mut found));
        assert_eq!(bits(found), bits(expected), "{name}");
    };
    check("widest", &|work| with_floats(work));
    check("plain", &|work| work.run::<[f32; LANES]>());
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has them.
        check("AVX2", &|work| unsafe { x86::floats_of_avx2(work) });
    }
}

#[test]
fn sums_of_bytes_are_the_same_on_every_processor() {
    for [count, depth, outputs] in SIZES {
        let (starts, pieces) = places(count, depth);
        // The largest bytes among them: no sum of two products fits 16 bits.
        let left = |seed: usize| [255, (seed * 7919 % 256) as u8, 255, seed as u8];
        let right = |seed: usize| [127, (seed * 31 % 256) as u8 as i8, 127, -128];
        let values: Vec<[u8; 4]> = (0..count * (2 * depth + 3)).map(left).collect();
        let weight = |output: usize, place: usize| right(output * 31 + place * 17 + 3);
        let starts_of_sums: Vec<i32> = (0..outputs as i32).map(|output| 7 - output).collect();
        let packed = Packed::new(&starts_of_sums, 2 * depth, |output, row: &mut [[i8; 4]]| {
            row.iter_mut().enumerate().for_each(|(place, to)| *to = weight(output, place));
        });
        let sum = |row: usize, output: usize| {
            let at = |place: usize| starts[row] + place + place / depth.max(1);
            let four = |place: usize| {
                let (left, right) = (values[at(place)], weight(output, place));
                (0..4).map(|lane| i32::from(left[lane]) * i32::from(right[lane])).sum::<i32>()
            };
            7 - output as i32 + (0..2 * depth).map(four).sum::<i32>()
        };
        let panels = outputs.div_ceil(LANES);
        let check = |name: &str, run: &dyn Fn(ByteProduct)| {
            let mut found = vec![[-1; LANES]; count * panels];
            let rows = Rows { values: &values, starts: &starts, pieces: &pieces, length: depth };
            run(Product { packed: &packed, rows, found: &mut found });
            for (row, output) in (0..count).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                let found = found[row * panels + output / LANES][output % LANES];
                assert_eq!(found, sum(row, output), "{name}, {count} {depth} {outputs}");
            }
        };
        check("widest", &|work| with_bytes(work));
        check("plain", &|work| work.run::<[i32; LANES]>());
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has them.
            check("AVX2", &|work| unsafe { x86::bytes_of_avx2(work) });
        }
    }
}
