//! Pools.

use super::channelwise::{Kernel, slide};
use super::window::Window;
use crate::buffer_pool::Shelf;
use crate::simd::{Floats, LANES};
use crate::tensor::Maps;

/// What a pool makes of a window.
#[derive(Debug, Clone, Copy)]
pub enum Pool {
    /// The largest number on the map.
    Max,
    /// The mean, places outside the map counted as zeros.
    Mean,
}

impl Pool {
    /// The pool of each channel; none where the maps do not fit.
    pub fn run(self, window: &Window, maps: &Maps, shelf: &Shelf) -> Option<Maps> {
        match self {
            Self::Max => slide(window, &Max, maps, false, shelf),
            Self::Mean => {
                let share = 1.0 / (window.kernel[0] * window.kernel[1]) as f32;
                slide(window, &Mean { share }, maps, false, shelf)
            }
        }
    }
}

struct Max;

impl Kernel for Max {
    type Line<'a> = ();

    #[inline(always)]
    fn line(&self, _: usize) {}

    #[inline(always)]
    fn start((): ()) -> [f32; LANES] {
        [f32::NEG_INFINITY; LANES]
    }

    #[inline(always)]
    fn next<F: Floats>((): (), so_far: F, _: usize, seen: &[f32; LANES]) -> F {
        so_far.largest(seen)
    }
}

struct Mean {
    share: f32,
}

impl Kernel for Mean {
    /// What each place counts.
    type Line<'a> = f32;

    #[inline(always)]
    fn line(&self, _: usize) -> f32 {
        self.share
    }

    #[inline(always)]
    fn start(_: f32) -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn next<F: Floats>(share: f32, so_far: F, _: usize, seen: &[f32; LANES]) -> F {
        so_far.plus_product(share, seen)
    }
}
