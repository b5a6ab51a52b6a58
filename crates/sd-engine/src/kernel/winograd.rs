//! Winograd convolution: dense 3×3 with 16 products per 2×2 outputs instead of 36.
//!
//! Minimal filtering F(2×2, 3×3), `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A` for a filter `g` and a 4×4 input tile `d`
//! ([Lavin and Gray 2015](https://arxiv.org/abs/1509.09308), section 4.1). Over all channels, each of
//! the 16 elements is a matrix product. A value that is not finite affects all outputs of its tile,
//! also those whose window does not cover it.

use super::gemm::{FloatMatrix, PackedMatrix, Rows};
use super::window::Window;
use crate::buffer_pool::BufferPool;
use crate::simd::{FloatLoop, FloatVector, LANES, dispatch_float, relu as relu_in_place, to_lanes};
use crate::tensor::Tensor;

/// Tiles per pass; their values stay in the processor's cache.
const TILES: usize = 24;
/// Minimum number of tiles of an image. With fewer, loading the weights, which are 16/9 as many,
/// takes longer than the products saved.
const MIN_TILES: usize = 16;
/// Elements of a transformed tile.
const ELEMENTS: usize = 16;

/// An element of 16 channels.
type Lanes = [f32; LANES];

/// A convolution with biases.
#[derive(Debug)]
pub struct Winograd {
    window: Window,
    inputs: usize,
    outputs: usize,
    /// Transformed weights `[outputs, inputs]` of each element.
    filters: Vec<FloatMatrix>,
    bias: Vec<Lanes>,
}

impl Winograd {
    /// Whether this algorithm supports the convolution and is faster at this output size.
    pub fn is_faster(
        window: &Window,
        [outputs, inputs]: [usize; 2],
        output_size: [usize; 2],
    ) -> bool {
        window.kernel == [3; 2]
            && window.stride == [1; 2]
            && [outputs, inputs].iter().all(|channels| channels.is_multiple_of(LANES))
            && output_size[0].div_ceil(2).saturating_mul(output_size[1].div_ceil(2)) >= MIN_TILES
    }

    /// Transforms weights `[outputs, inputs, 3, 3]`; both channel counts are multiples of 16.
    pub fn new(window: Window, weights: &[f32], inputs: usize, bias: &[f32]) -> Self {
        let outputs = bias.len();
        let filters = |element: usize| {
            let fill = |output: usize, row: &mut [f32]| {
                let filters = weights[output * inputs * 9..].chunks_exact(9);
                for (weight, filter) in row.iter_mut().zip(filters) {
                    *weight = transform_filter(filter, element);
                }
            };
            PackedMatrix::new(&vec![0.0; outputs], inputs, fill)
        };
        let filters = (0..ELEMENTS).map(filters).collect();
        Self { window, inputs, outputs, filters, bias: to_lanes(bias) }
    }

    /// Convolves, followed by a ReLU if `relu`; `None` if the input's shape does not fit.
    pub fn run(&self, input: &Tensor, relu: bool, buffers: &BufferPool) -> Option<Tensor> {
        let size = self.window.output_size(input.size());
        let size @ [height, width] = size.filter(|_| input.channels == self.inputs)?;
        let mut output = Tensor::acquire(buffers, input.images, [height, width, self.outputs])?;
        let mut transformed = buffers.acquire(ELEMENTS * TILES * self.inputs);
        let mut products = buffers.acquire(ELEMENTS * TILES * self.outputs);
        let row_offsets: Vec<usize> = (0..TILES).map(|tile| tile * self.inputs).collect();
        let grid = size.map(|size| size.div_ceil(2));
        let tiles = input.images * grid[0] * grid[1];
        for first in (0..tiles).step_by(TILES) {
            let tiles = Tiles { first, count: TILES.min(tiles - first), grid };
            dispatch_float(TransformInput { winograd: self, tiles, input, to: &mut transformed });
            for (element, filters) in self.filters.iter().enumerate() {
                let rows = Rows {
                    values: &transformed[element * TILES * self.inputs..],
                    row_offsets: &row_offsets[..tiles.count],
                    segment_offsets: &[0],
                    segment_len: self.inputs,
                };
                let to = &mut products[element * TILES * self.outputs..];
                filters.multiply_into(&rows, false, to, self.outputs);
            }
            let (from, output) = (&products[..], &mut output);
            dispatch_float(TransformOutput { winograd: self, tiles, from, relu, output });
        }
        buffers.recycle(transformed);
        buffers.recycle(products);
        Some(output)
    }
}

/// An element of `G g Gᵀ`.
fn transform_filter(filter: &[f32], element: usize) -> f32 {
    const G: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];
    let (rows, columns) = (G[element / 4], G[element % 4]);
    let term = |tap: usize| rows[tap / 3] * columns[tap % 3] * f64::from(filter[tap]);
    (0..9).map(term).sum::<f64>() as f32
}

/// A range of tiles of 2×2 outputs, counted over all images.
#[derive(Clone, Copy)]
struct Tiles {
    first: usize,
    count: usize,
    /// Rows and columns of tiles in an image.
    grid: [usize; 2],
}

impl Tiles {
    /// Image, first output row and first output column of a tile.
    fn origin(&self, tile: usize) -> [usize; 3] {
        let (tile, [rows, columns]) = (self.first + tile, self.grid);
        [tile / (rows * columns), tile / columns % rows * 2, tile % columns * 2]
    }
}

/// `Bᵀ d B` of each tile.
struct TransformInput<'a> {
    winograd: &'a Winograd,
    tiles: Tiles,
    input: &'a Tensor,
    to: &'a mut [f32],
}

impl FloatLoop for TransformInput<'_> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let Self { winograd: Winograd { window, inputs, .. }, tiles, input, to } = self;
        for tile in 0..tiles.count {
            let [image, y, x] = tiles.origin(tile);
            // Offset of each of the 16 values; `None` in the padding.
            let mut offsets = [None; ELEMENTS];
            for element in 0..ELEMENTS {
                let row = (y + element / 4).wrapping_sub(window.pad_before[0]);
                let column = (x + element % 4).wrapping_sub(window.pad_before[1]);
                if row < input.height && column < input.width {
                    let position = (image * input.height + row) * input.width + column;
                    offsets[element] = Some(position * inputs);
                }
            }
            for first in (0..*inputs).step_by(LANES) {
                let mut values = [[0.0; LANES]; ELEMENTS];
                for element in 0..ELEMENTS {
                    if let Some(offset) = offsets[element] {
                        values[element].copy_from_slice(&input.values[offset + first..][..LANES]);
                    }
                }
                for row in 0..4 {
                    transform_input(&mut values, 4 * row, 1);
                }
                for column in 0..4 {
                    transform_input(&mut values, column, 4);
                }
                for element in 0..ELEMENTS {
                    to[(element * TILES + tile) * inputs + first..][..LANES]
                        .copy_from_slice(&values[element]);
                }
            }
        }
    }
}

/// Multiplies `Bᵀ` with four elements: `first`, and every `step`th after it.
#[inline(always)]
fn transform_input(elements: &mut [Lanes; ELEMENTS], first: usize, step: usize) {
    for lane in 0..LANES {
        let mut d = [0.0; 4];
        for index in 0..4 {
            d[index] = elements[first + index * step][lane];
        }
        let transformed = [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]];
        for index in 0..4 {
            elements[first + index * step][lane] = transformed[index];
        }
    }
}

/// `Aᵀ m A` of each tile's products, plus the biases.
struct TransformOutput<'a> {
    winograd: &'a Winograd,
    tiles: Tiles,
    from: &'a [f32],
    relu: bool,
    output: &'a mut Tensor,
}

impl FloatLoop for TransformOutput<'_> {
    #[inline(always)]
    fn run<F: FloatVector>(self) {
        let Self { winograd: Winograd { outputs, bias, .. }, tiles, from, relu, output } = self;
        let [height, width, _] = output.shape();
        for tile in 0..tiles.count {
            let [image, y, x] = tiles.origin(tile);
            for (block, bias) in bias.iter().enumerate() {
                let mut products = [[0.0; LANES]; ELEMENTS];
                for element in 0..ELEMENTS {
                    let start = (element * TILES + tile) * outputs + block * LANES;
                    products[element].copy_from_slice(&from[start..][..LANES]);
                }
                for row in 0..4 {
                    transform_output(&mut products, 4 * row, 1);
                }
                for column in 0..2 {
                    transform_output(&mut products, column, 4);
                }
                for index in 0..4 {
                    let (row, column) = (y + index / 2, x + index % 2);
                    if row >= height || column >= width {
                        continue;
                    }
                    let mut values = products[index / 2 * 4 + index % 2];
                    for lane in 0..LANES {
                        values[lane] += bias[lane];
                        if relu {
                            relu_in_place(&mut values[lane]);
                        }
                    }
                    let position = (image * height + row) * width + column;
                    output.values[position * outputs + block * LANES..][..LANES]
                        .copy_from_slice(&values);
                }
            }
        }
    }
}

/// Multiplies `Aᵀ` with four elements, see [`transform_input`]; the first two are the result.
#[inline(always)]
fn transform_output(elements: &mut [Lanes; ELEMENTS], first: usize, step: usize) {
    for lane in 0..LANES {
        let mut m = [0.0; 4];
        for index in 0..4 {
            m[index] = elements[first + index * step][lane];
        }
        elements[first][lane] = m[0] + m[1] + m[2];
        elements[first + step][lane] = m[1] - m[2] - m[3];
    }
}
