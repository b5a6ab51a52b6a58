//! An image of any size in a square.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Writes the middle of `image`, resized until its shorter side is `shorter`, to `target`, which
/// is `side`×`side` pixels; `side` is at most `shorter`.
///
/// Pixels outside the square are never made: an image of one row does not become a huge one.
pub(super) fn fit(
    image: &RgbImage,
    shorter: usize,
    side: usize,
    resizer: &mut Resizer,
    target: &mut [u8],
) {
    let (width, height) = image.dimensions();
    let (left, across) = middle(width, width.min(height), shorter, side);
    let (top, down) = middle(height, width.min(height), shorter, side);
    let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3)
        .expect("an image has its own size");
    let mut square = Image::from_slice_u8(side as u32, side as u32, target, PixelType::U8x3)
        .expect("the target has the size of the square");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, across, down);
    resizer.resize(&source, &mut square, &options).expect("the square is inside the image");
}

/// Where the square begins in a side of `length` pixels, and how far it goes, in pixels of the
/// source. Rounded as torchvision does: the resized side down, the margin to the even number.
fn middle(length: u32, shortest: u32, shorter: usize, side: usize) -> (f64, f64) {
    let resized = shorter as u64 * u64::from(length) / u64::from(shortest);
    let margin = ((resized - side as u64) as f64 / 2.0).round_ties_even();
    let scale = f64::from(length) / resized as f64;
    // Rounding must not carry the far end beyond the image.
    let begin = margin * scale;
    (begin, (side as f64 * scale).min(f64::from(length) - begin))
}
