//! Dense 3×3 convolutions with 16 products for each 2×2 output places instead of 36.
//!
//! Winograd's minimal filtering F(2×2, 3×3), `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A` for a filter `g` and the
//! 4×4 numbers `d` that a tile sees ([Lavin and Gray 2015](https://arxiv.org/abs/1509.09308),
//! section 4.1). Over all channels, each of the 16 places is a product of matrices. A number that is
//! not finite spoils all places of its tile, also those whose window does not see it.

use super::convolution::{Matrix, multiply};
use super::gemm::{Packed, Rows, sixteens};
use super::window::Window;
use crate::buffer_pool::Shelf;
use crate::simd::{Floats, LANES, Work, rectify, with_floats};
use crate::tensor::Maps;

/// Tiles that go through together: their numbers stay in the processor's cache.
const TOGETHER: usize = 24;
/// Tiles of a map at least. Of fewer, loading the weights, which are 16/9 as many, takes longer than
/// the products that are saved.
const FEWEST: usize = 16;
/// Numbers of a tile, transformed.
const PLACES: usize = 16;

/// What stands for numbers of sixteen channels.
type Line = [f32; LANES];

/// A convolution with biases.
#[derive(Debug)]
pub struct Winograd {
    window: Window,
    inputs: usize,
    outputs: usize,
    /// One for each place, `[outputs, inputs]`.
    filters: Vec<Matrix>,
    bias: Vec<Line>,
}

impl Winograd {
    /// Whether such a convolution of maps with so many output places is faster this way.
    pub fn pays(window: &Window, [outputs, inputs]: [usize; 2], places: [usize; 2]) -> bool {
        window.kernel == [3; 2]
            && window.stride == [1; 2]
            && [outputs, inputs].iter().all(|channels| channels.is_multiple_of(LANES))
            && places[0].div_ceil(2).saturating_mul(places[1].div_ceil(2)) >= FEWEST
    }

    /// Of weights `[outputs, inputs, 3, 3]`, both multiples of 16.
    pub fn new(window: Window, weights: &[f32], inputs: usize, bias: &[f32]) -> Self {
        let outputs = bias.len();
        let filters = |place: usize| {
            let fill = |output: usize, row: &mut [f32]| {
                let filters = weights[output * inputs * 9..].chunks_exact(9);
                for (number, filter) in row.iter_mut().zip(filters) {
                    *number = transformed_filter(filter, place);
                }
            };
            Packed::new(&vec![0.0; outputs], inputs, fill)
        };
        let filters = (0..PLACES).map(filters).collect();
        Self { window, inputs, outputs, filters, bias: sixteens(bias) }
    }

    /// Numbers of its weights, as they are packed.
    pub fn numbers(&self) -> usize {
        self.filters.iter().map(Packed::numbers).sum()
    }

    /// The convolution, nothing below zero if `rectified`; none where the maps do not fit.
    pub fn run(&self, maps: &Maps, rectified: bool, shelf: &Shelf) -> Option<Maps> {
        let sides = self.window.output(maps).filter(|_| maps.channels == self.inputs)?;
        let mut output = shelf.take(maps.images, [sides[0], sides[1], self.outputs])?;
        let mut seen = shelf.take(PLACES, [TOGETHER, 1, self.inputs])?;
        let mut products = shelf.take(PLACES, [TOGETHER, 1, self.outputs])?;
        let starts: Vec<usize> = (0..TOGETHER).map(|tile| tile * self.inputs).collect();
        let grid = sides.map(|side| side.div_ceil(2));
        let tiles = maps.images * grid[0] * grid[1];
        for first in (0..tiles).step_by(TOGETHER) {
            let tiles = Tiles { first, count: TOGETHER.min(tiles - first), grid };
            with_floats(Transform { of: self, tiles, maps, to: &mut seen.values });
            for (place, filters) in self.filters.iter().enumerate() {
                let values = &seen.values[place * TOGETHER * self.inputs..];
                let (starts, length) = (&starts[..tiles.count], self.inputs);
                let rows = Rows { values, starts, pieces: &[0], length };
                let to = &mut products.values[place * TOGETHER * self.outputs..];
                multiply(filters, &rows, false, to, self.outputs);
            }
            let from = &products.values[..];
            with_floats(Back { of: self, tiles, from, rectified, output: &mut output });
        }
        shelf.keep(seen);
        shelf.keep(products);
        Some(output)
    }
}

/// A number of `G g Gᵀ`.
fn transformed_filter(filter: &[f32], place: usize) -> f32 {
    const G: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    let (rows, columns) = (G[place / 4], G[place % 4]);
    let number = |at: usize| rows[at / 3] * columns[at % 3] * f64::from(filter[at]);
    (0..9).map(number).sum::<f64>() as f32
}

/// Tiles of 2×2 output places, one image after the other.
#[derive(Clone, Copy)]
struct Tiles {
    first: usize,
    count: usize,
    /// Rows and columns of tiles of an image.
    grid: [usize; 2],
}

impl Tiles {
    /// A tile's image, and its first output row and column.
    fn place(&self, tile: usize) -> [usize; 3] {
        let (tile, [rows, columns]) = (self.first + tile, self.grid);
        [tile / (rows * columns), tile / columns % rows * 2, tile % columns * 2]
    }
}

/// `Bᵀ d B` of each tile.
struct Transform<'a> {
    of: &'a Winograd,
    tiles: Tiles,
    maps: &'a Maps,
    to: &'a mut [f32],
}

impl Work for Transform<'_> {
    #[inline(always)]
    fn run<F: Floats>(self) {
        let Self { of: Winograd { window, inputs, .. }, tiles, maps, to } = self;
        for tile in 0..tiles.count {
            let [image, y, x] = tiles.place(tile);
            // Where each of the 16 numbers is, none outside the map.
            let mut places = [None; PLACES];
            for at in 0..PLACES {
                let row = (y + at / 4).wrapping_sub(window.before[0]);
                let column = (x + at % 4).wrapping_sub(window.before[1]);
                if row < maps.height && column < maps.width {
                    places[at] = Some(((image * maps.height + row) * maps.width + column) * inputs);
                }
            }
            for first in (0..*inputs).step_by(LANES) {
                let mut seen = [[0.0; LANES]; PLACES];
                for at in 0..PLACES {
                    if let Some(place) = places[at] {
                        seen[at].copy_from_slice(&maps.values[place + first..][..LANES]);
                    }
                }
                for row in 0..4 {
                    input(&mut seen, 4 * row, 1);
                }
                for column in 0..4 {
                    input(&mut seen, column, 4);
                }
                for at in 0..PLACES {
                    to[(at * TOGETHER + tile) * inputs + first..][..LANES]
                        .copy_from_slice(&seen[at]);
                }
            }
        }
    }
}

/// `Bᵀ` times the four lines from `first` on, each `step` after the one before.
#[inline(always)]
fn input(lines: &mut [Line; PLACES], first: usize, step: usize) {
    for lane in 0..LANES {
        let mut d = [0.0; 4];
        for at in 0..4 {
            d[at] = lines[first + at * step][lane];
        }
        let transformed = [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]];
        for at in 0..4 {
            lines[first + at * step][lane] = transformed[at];
        }
    }
}

/// `Aᵀ m A` of each tile's products, plus the biases.
struct Back<'a> {
    of: &'a Winograd,
    tiles: Tiles,
    from: &'a [f32],
    rectified: bool,
    output: &'a mut Maps,
}

impl Work for Back<'_> {
    #[inline(always)]
    fn run<F: Floats>(self) {
        let Self { of: Winograd { outputs, bias, .. }, tiles, from, rectified, output } = self;
        let [height, width, _] = output.sides();
        for tile in 0..tiles.count {
            let [image, y, x] = tiles.place(tile);
            for (line, bias) in bias.iter().enumerate() {
                let mut products = [[0.0; LANES]; PLACES];
                for at in 0..PLACES {
                    let start = (at * TOGETHER + tile) * outputs + line * LANES;
                    products[at].copy_from_slice(&from[start..][..LANES]);
                }
                for row in 0..4 {
                    back(&mut products, 4 * row, 1);
                }
                for column in 0..2 {
                    back(&mut products, column, 4);
                }
                for at in 0..4 {
                    let (row, column) = (y + at / 2, x + at % 2);
                    if row >= height || column >= width {
                        continue;
                    }
                    let mut numbers = products[at / 2 * 4 + at % 2];
                    for lane in 0..LANES {
                        numbers[lane] += bias[lane];
                        if rectified {
                            rectify(&mut numbers[lane]);
                        }
                    }
                    let place = (image * height + row) * width + column;
                    output.values[place * outputs + line * LANES..][..LANES]
                        .copy_from_slice(&numbers);
                }
            }
        }
    }
}

/// `Aᵀ` times four lines, see [`input`]; the first two are the product.
#[inline(always)]
fn back(lines: &mut [Line; PLACES], first: usize, step: usize) {
    for lane in 0..LANES {
        let mut m = [0.0; 4];
        for at in 0..4 {
            m[at] = lines[first + at * step][lane];
        }
        lines[first][lane] = m[0] + m[1] + m[2];
        lines[first + step][lane] = m[1] - m[2] - m[3];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::kernel::convolution::Convolution;

    #[test]
    fn tiles_are_the_sums_that_define_a_convolution() {
        // More tiles than go through together, sides that are odd, and a border on one side alone.
        for ([images, height, width], after) in
            [([1, 8, 8], [1, 1]), ([3, 9, 7], [1, 1]), ([1, 10, 11], [0, 1])]
        {
            let window = Window { kernel: [3; 2], stride: [1; 2], before: [1, 1], after };
            // Small whole numbers, of whose sums and halves floats lose nothing.
            let number = |at: usize| (at * 7919 % 11) as f32 - 5.0;
            let numbers = |count: usize| (0..count).map(number).collect::<Vec<_>>();
            let (inputs, outputs) = (32, 48);
            let values = numbers(images * inputs * height * width);
            let shape = vec![images, inputs, height, width];
            let maps = Maps::of(Batch::new(shape, values).unwrap()).unwrap();
            let (weights, bias) = (numbers(outputs * inputs * 9), numbers(outputs));
            let shelf = Shelf::default();
            let direct =
                Convolution::new(window, 1, &weights, [outputs, inputs], &bias, None).unwrap();
            let winograd = Winograd::new(window, &weights, inputs, &bias);
            for rectified in [false, true] {
                let expected = direct.run(&maps, rectified, &shelf).unwrap();
                let found = winograd.run(&maps, rectified, &shelf).unwrap();
                assert!(found.values == expected.values, "{height} × {width}");
            }
        }
    }

    #[test]
    fn it_pays_for_dense_filters_of_three_on_maps_that_are_not_small() {
        let window = Window { kernel: [3; 2], stride: [1; 2], before: [1; 2], after: [1; 2] };
        assert!(Winograd::pays(&window, [64, 32], [8, 8]));
        assert!(!Winograd::pays(&window, [64, 32], [6, 8]));
        assert!(!Winograd::pays(&window, [64, 3], [8, 8]));
        assert!(!Winograd::pays(&Window { stride: [2; 2], ..window }, [64, 32], [8, 8]));
        assert!(!Winograd::pays(&Window { kernel: [1; 2], ..window }, [64, 32], [8, 8]));
    }
}
