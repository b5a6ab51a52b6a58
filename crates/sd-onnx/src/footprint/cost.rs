//! Work and memory of a node.

use super::shape::Window;
use super::{bytes, elements};
use crate::proto::NodeProto;

/// Values per vector, to which runtimes pad the outputs of a packed weight.
const LANES: u64 = 16;
/// Work of a copied or element-wise computed value.
const VALUE: u64 = 64;
/// Work of a position of a window that slides over each channel by itself.
const TAP: u64 = 32;
/// Work of a group of a convolution.
const GROUP: u64 = 2_048;
/// Work of a node.
const NODE: u64 = 16_384;

/// The cost of a node.
#[derive(Default)]
pub struct Cost {
    pub work: u64,
    /// Bytes of its packed weights.
    pub weights: u64,
    /// Bytes of working memory beside inputs and outputs.
    pub scratch: u64,
}

impl Cost {
    /// The cost of a node for these shapes; `None` if they do not fit.
    pub fn of(
        node: &NodeProto,
        inputs: &[&[usize]],
        outputs: &[Vec<usize>],
        is_constant: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        let written = outputs.iter().fold(0, |sum: u64, shape| sum.saturating_add(elements(shape)));
        let values = node.input.iter().zip(inputs).filter(|(name, _)| !is_constant(name));
        let read = values.fold(0, |sum: u64, (_, shape)| sum.saturating_add(elements(shape)));
        let copies = written.saturating_add(read).saturating_mul(VALUE).saturating_add(NODE);
        let mut cost = Self { work: copies, ..Self::default() };
        match node.op_type.as_str() {
            "Conv" | "ConvInteger" => {
                let [outputs, depth, rows, columns] = sides(inputs.get(1)?)?;
                let [images, channels, height, width] = sides(inputs.first()?)?;
                let groups = channels.checked_div(depth)?.max(1);
                let taps = product(&[rows, columns]);
                let positions = written / outputs.max(1);
                let padded = outputs.div_ceil(groups).next_multiple_of(LANES);
                let padded = padded.saturating_mul(groups);
                let macs = match depth == 1 && outputs == groups {
                    true => product(&[positions, outputs.max(4), taps, TAP]),
                    false => product(&[positions, padded, depth, taps]),
                };
                cost.add(macs);
                cost.add(product(&[groups, GROUP]));
                // A fast algorithm for 3×3 has 16 weights instead of 9.
                let weights = if [rows, columns] == [3; 2] { 16 } else { taps };
                cost.weights = product(&[padded, depth, weights, 4]);
                // A padded copy of the input, the place of each window, and tiles of that algorithm.
                let [top, left, bottom, right] = Window::of(node)?.pads;
                let padded_size = [height + top + bottom, width + left + right];
                cost.scratch = product(&[images, channels, padded_size[0], padded_size[1], 4])
                    .saturating_add(product(&[positions, 8]))
                    .saturating_add(product(&[channels + outputs, 24 * 16 * 4]));
            }
            "ConvTranspose" => {
                let [channels, outputs, rows, columns] = sides(inputs.get(1)?)?;
                let [images, _, height, width] = sides(inputs.first()?)?;
                let products = product(&[images, height, width, outputs, rows, columns]);
                cost.add(product(&[products, channels]));
                cost.add(product(&[products, VALUE]));
                cost.weights = product(&[elements(inputs.get(1)?), 4, LANES]);
                cost.scratch = product(&[products, 4]);
            }
            "Gemm" | "MatMul" => {
                let [rows, depth] = sides(inputs.first()?)?;
                let [_, outputs] = sides(outputs.first()?)?;
                let padded = outputs.next_multiple_of(LANES);
                cost.add(product(&[rows, padded, depth]));
                cost.weights = product(&[padded, depth, 4]);
            }
            "MaxPool" | "AveragePool" => {
                let [rows, columns] = Window::of(node)?.kernel?;
                let [_, channels, ..]: [u64; 4] = sides(inputs.first()?)?;
                // Few channels fill no vector.
                let values = product(&[written / channels.max(1), channels.max(4)]);
                cost.add(product(&[values, rows as u64, columns as u64, TAP]));
            }
            "Relu" | "Sigmoid" | "Add" | "Mul" | "Flatten" | "GlobalAveragePool" => {}
            "Mean" => {
                // Each input is added to all outputs, also a constant or one that is broadcast.
                cost.add(product(&[written, inputs.len() as u64, VALUE]));
                cost.scratch = product(&[written, 4]);
            }
            // Runtimes may copy an input first.
            _ => {
                let input = inputs.iter().map(|shape| bytes(shape)).max();
                let output = outputs.iter().map(|shape| bytes(shape)).max();
                cost.scratch = input.max(output).unwrap_or_default();
            }
        }
        Some(cost)
    }

    fn add(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
    }
}

/// A product; saturates.
fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor))
}

/// A shape with this number of axes.
fn sides<const AXES: usize>(shape: &[usize]) -> Option<[u64; AXES]> {
    let sides: [usize; AXES] = shape.try_into().ok()?;
    Some(sides.map(|side| side as u64))
}
