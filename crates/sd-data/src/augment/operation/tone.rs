//! Point operations: lookup tables of 256 entries.

use super::{Pixels, blend};

pub(super) fn brightness(pixels: &mut Pixels, factor: f32) {
    pixels.map(&table(|value| blend(0, value, factor)));
}

pub(super) fn invert(pixels: &mut Pixels) {
    pixels.map(&table(|value| 255 - value));
}

pub(super) fn posterize(pixels: &mut Pixels, bits: u32) {
    let mask = (0xff00_u32 >> bits) as u8;
    pixels.map(&table(|value| value & mask));
}

pub(super) fn solarize(pixels: &mut Pixels, threshold: f64) {
    pixels.map(&table(|value| if f64::from(value) < threshold { value } else { 255 - value }));
}

/// Maps the lowest value of each channel to 0 and the highest to 255, linearly in between.
pub(super) fn auto_contrast(pixels: &mut Pixels) {
    each_channel(pixels, |histogram| {
        let low = histogram.iter().position(|&count| count > 0)?;
        let high = histogram.iter().rposition(|&count| count > 0)?;
        if low == high {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        Some(table(|value| (f64::from(value) * scale + offset) as u8))
    });
}

/// Maps each value to the share of pixels below it, in 255 steps of equally many pixels.
pub(super) fn equalize(pixels: &mut Pixels) {
    each_channel(pixels, |histogram| {
        let highest = *histogram.iter().rfind(|&&count| count > 0)?;
        let step = (histogram.iter().sum::<u32>() - highest) / 255;
        // Too few pixels, or a single value.
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        let mut equalized = [0; 256];
        for (value, &count) in equalized.iter_mut().zip(histogram) {
            *value = (below / step).min(255) as u8;
            below += count;
        }
        Some(equalized)
    });
}

fn table(of: impl Fn(u8) -> u8) -> [u8; 256] {
    std::array::from_fn(|value| of(value as u8))
}

/// Maps each channel through the table that `choose` returns for its histogram, if any.
fn each_channel(pixels: &mut Pixels, choose: impl Fn(&[u32; 256]) -> Option<[u8; 256]>) {
    let channels = pixels.shape().channels;
    for channel in 0..channels {
        let mut histogram = [0; 256];
        for pixel in pixels.values().chunks_exact(channels) {
            histogram[usize::from(pixel[channel])] += 1;
        }
        if let Some(table) = choose(&histogram) {
            for pixel in pixels.values_mut().chunks_exact_mut(channels) {
                pixel[channel] = table[usize::from(pixel[channel])];
            }
        }
    }
}
