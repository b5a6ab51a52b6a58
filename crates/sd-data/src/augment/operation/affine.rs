//! Shear, translation and rotation, with nearest-neighbour interpolation.

use super::Pixels;
use crate::ImageShape;

pub(super) fn rotate(pixels: &mut Pixels, degrees: f64, fill: u8) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let ImageShape { height, width, .. } = pixels.shape();
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    // The rotation keeps the centre (x, y) in place.
    let matrix = [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]];
    nearest(pixels, matrix, fill);
}

/// Samples the source at `matrix · (x, y, 1)` for column x and row y. Pixel centres are at halves.
pub(super) fn nearest(pixels: &mut Pixels, matrix: [[f64; 3]; 2], fill: u8) {
    pixels.rewrite(|shape, source, target| match shape.channels {
        // Copies of constant size are faster.
        1 => sample(source, shape, 1, matrix, fill, target),
        3 => sample(source, shape, 3, matrix, fill, target),
        channels => sample(source, shape, channels, matrix, fill, target),
    });
}

/// Pillow's fixed-point arithmetic with 16 fractional bits: between two pixels, the rounding of the
/// steps decides.
fn fixed(number: f64) -> i64 {
    (number * 65536.0 + 0.5).floor() as i64
}

#[inline(always)]
fn sample(
    source: &[u8],
    shape: ImageShape,
    channels: usize,
    matrix: [[f64; 3]; 2],
    fill: u8,
    target: &mut [u8],
) {
    let [[x_by_x, x_by_y, _], [y_by_x, y_by_y, _]] = matrix.map(|row| row.map(fixed));
    let [mut row_x, mut row_y] = matrix.map(|[a, b, c]| fixed(c + a * 0.5 + b * 0.5));
    for row in target.chunks_exact_mut(shape.width * channels) {
        let (mut x, mut y) = (row_x, row_y);
        for to in row.chunks_exact_mut(channels) {
            // Negative numbers wrap to large ones: one comparison checks both ends.
            let (column, line) = ((x >> 16) as usize, (y >> 16) as usize);
            if column < shape.width && line < shape.height {
                let start = (line * shape.width + column) * channels;
                to.copy_from_slice(&source[start..start + channels]);
            } else {
                to.fill(fill);
            }
            x += x_by_x;
            y += y_by_x;
        }
        row_x += x_by_y;
        row_y += y_by_y;
    }
}
