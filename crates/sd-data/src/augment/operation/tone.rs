//! Point operations that depend on the histogram of a channel.

use super::Pixels;

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
        Some(std::array::from_fn(|value| (value as f64 * scale + offset) as u8))
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
