//! Convolutions of each channel by itself.

use super::channelwise::Kernel;
use super::gemm::sixteens;
use crate::simd::{Floats, LANES};

/// Weights and biases of a depthwise convolution.
#[derive(Debug)]
pub struct Depthwise {
    /// For every sixteen channels a line of weights for each place of the window.
    weights: Vec<[f32; LANES]>,
    places: usize,
    bias: Vec<[f32; LANES]>,
}

impl Depthwise {
    /// Of weights `[channels, 1, rows, columns]`.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        let places = weights.len() / bias.len().max(1);
        let lines = weights.chunks(LANES * places).flat_map(|channels| {
            let of_place = move |place: usize| channels.iter().skip(place).step_by(places);
            (0..places)
                .flat_map(move |place| sixteens(&of_place(place).copied().collect::<Vec<_>>()))
        });
        Self { weights: lines.collect(), places, bias: sixteens(bias) }
    }

    /// Numbers of its weights.
    pub fn numbers(&self) -> usize {
        (self.weights.len() + self.bias.len()) * LANES
    }
}

impl Kernel for Depthwise {
    /// Biases, and weights for each place.
    type Line<'a> = (&'a [f32; LANES], &'a [[f32; LANES]]);

    #[inline(always)]
    fn line(&self, index: usize) -> Self::Line<'_> {
        (&self.bias[index], &self.weights[index * self.places..][..self.places])
    }

    #[inline(always)]
    fn start((bias, _): Self::Line<'_>) -> [f32; LANES] {
        *bias
    }

    #[inline(always)]
    fn next<F: Floats>(line: Self::Line<'_>, so_far: F, place: usize, seen: &[f32; LANES]) -> F {
        so_far.plus_products(seen, &line.1[place])
    }
}
