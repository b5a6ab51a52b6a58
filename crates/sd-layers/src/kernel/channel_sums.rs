//! Two sums per channel over the rows of a map.

use super::bridge::for_each;

/// Rows summed in `f32` before the sums are added in `f64`.
const BLOCK: usize = 64;

/// Two sums per channel: `f32` within a block of rows, `f64` over the blocks.
#[derive(Debug, Clone)]
pub struct ChannelSums {
    block: [Vec<f32>; 2],
    total: [Vec<f64>; 2],
}

impl ChannelSums {
    fn zero(channels: usize) -> Self {
        Self {
            block: [vec![0.0; channels], vec![0.0; channels]],
            total: [vec![0.0; channels], vec![0.0; channels]],
        }
    }

    /// The sums over all parts of a map, in their order; `add` adds one part.
    pub fn over<I: Send>(
        parts: impl Iterator<Item = I>,
        channels: usize,
        add: impl Fn(I, &mut Self) + Sync,
    ) -> [Vec<f64>; 2] {
        let parts: Vec<I> = parts.collect();
        let mut sums = vec![Self::zero(channels); parts.len()];
        for_each(
            parts.into_iter().zip(&mut sums),
            #[inline(always)]
            |(part, sums)| add(part, sums),
        );
        let mut total = [vec![0.0; channels], vec![0.0; channels]];
        for part in sums {
            for (total, part) in total.iter_mut().zip(part.total) {
                for (total, part) in total.iter_mut().zip(part) {
                    *total += part;
                }
            }
        }
        total
    }

    /// Calls `add` with the two sums of the block for each row from 0 to `rows`.
    #[inline(always)]
    pub fn rows(&mut self, rows: usize, mut add: impl FnMut(usize, &mut [f32], &mut [f32])) {
        for start in (0..rows).step_by(BLOCK) {
            let [first, second] = &mut self.block;
            for row in start..rows.min(start + BLOCK) {
                add(row, first, second);
            }
            for (block, total) in self.block.iter_mut().zip(&mut self.total) {
                for (block, total) in block.iter_mut().zip(total) {
                    *total += f64::from(std::mem::take(block));
                }
            }
        }
    }
}
