//! Operations on colours. Unless an image has three channels, saturation and hue have no effect, as
//! in Pillow on greyscale images.

use super::{Pixels, blend};

/// Blends each pixel with its grey.
pub(super) fn saturation(pixels: &mut Pixels, factor: f32) {
    if pixels.shape().channels != 3 {
        return;
    }
    let (pixels, _) = pixels.values_mut().as_chunks_mut();
    for pixel in pixels {
        let grey = grey(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// Blends with the mean of the grey image, rounded.
pub(super) fn contrast(pixels: &mut Pixels, factor: f32) {
    let values = pixels.values();
    let (sum, count) = if pixels.shape().channels == 3 {
        let (pixels, _) = values.as_chunks();
        (pixels.iter().map(|&pixel| u64::from(grey(pixel))).sum::<u64>(), pixels.len())
    } else {
        (values.iter().map(|&value| u64::from(value)).sum(), values.len())
    };
    let count = count as u64;
    let mean = ((2 * sum + count) / (2 * count)) as u8;
    pixels.map(|value| blend(mean, value, factor));
}

/// Rotates the hue, a byte on a circle of 256, by `turn` · 255 steps, truncated.
pub(super) fn hue(pixels: &mut Pixels, turn: f64) {
    if pixels.shape().channels != 3 {
        return;
    }
    let steps = (turn * 255.0) as i32 as u8;
    let (pixels, _) = pixels.values_mut().as_chunks_mut();
    for pixel in pixels {
        let [hue, saturation, value] = hsv(*pixel);
        *pixel = rgb([hue.wrapping_add(steps), saturation, value]);
    }
}

/// Luma of ITU-R BT.601 with 16 fractional bits: 0.299 R + 0.587 G + 0.114 B, rounded.
#[inline(always)]
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
    ((sum + (1 << 15)) >> 16) as u8
}

/// Hue, saturation and value, one byte each:
/// <https://en.wikipedia.org/wiki/HSL_and_HSV#From_RGB>, with Pillow's precision of each step.
fn hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let most = red.max(green).max(blue);
    let chroma = f32::from(most - red.min(green).min(blue));
    if chroma == 0.0 {
        return [0, 0, most];
    }
    let [to_red, to_green, to_blue] =
        [red, green, blue].map(|value| f32::from(most - value) / chroma);
    // In sixths of the circle.
    let hue = if red == most {
        to_blue - to_green
    } else if green == most {
        (2.0 + f64::from(to_red) - f64::from(to_blue)) as f32
    } else {
        (4.0 + f64::from(to_green) - f64::from(to_red)) as f32
    };
    let turns = f64::from(hue) / 6.0;
    let hue = if turns < 0.0 { turns + 1.0 } else { turns } as f32;
    let byte = |share: f32| (f64::from(share) * 255.0) as u8;
    [byte(hue), byte(chroma / f32::from(most)), most]
}

/// The inverse of [`hsv`]: <https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB>.
fn rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let sector = sixths as u8;
    let rest = (sixths - f64::from(sector)) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    // Rounds; without SSE 4.1, `f64::round` is a function call.
    let darkened = |by: f64| (f64::from(value) * (1.0 - by) + 0.5) as u8;
    let least = darkened(f64::from(saturation));
    let falling = darkened(f64::from(saturation * rest));
    let rising = darkened(f64::from(saturation) * (1.0 - f64::from(rest)));
    // Hue 255 is the full circle, 6 sixths.
    match sector % 6 {
        0 => [value, rising, least],
        1 => [falling, value, least],
        2 => [least, value, rising],
        3 => [least, falling, value],
        4 => [rising, least, value],
        _ => [value, least, falling],
    }
}
