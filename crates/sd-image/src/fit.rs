//! Resizing and center crop.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Resizes `image` to `shorter` pixels on its shorter side and writes the central `side`×`side` crop
/// to `target`, `[side, side, 3]`.
///
/// Equals torchvision's `Resize` (bilinear, antialiased) and `CenterCrop`, within one step of 255.
/// Computes only the pixels of the crop, so that an image of one row does not become a huge one.
/// Leaves `target` unchanged if `image` has no pixels.
///
/// # Panics
/// If `side` is zero or more than `shorter`, or `target` has another length.
pub fn fit(
    image: &RgbImage,
    shorter: usize,
    side: usize,
    resizer: &mut Resizer,
    target: &mut [u8],
) {
    fit_pixels(image.as_raw(), image.dimensions().into(), shorter, side, resizer, target);
}

/// As [`fit`], of an image `[H, W, 3]` of `[width, height]` pixels.
///
/// # Panics
/// As [`fit`], or if `pixels` has fewer values than the image.
pub fn fit_pixels(
    pixels: &[u8],
    [width, height]: [u32; 2],
    shorter: usize,
    side: usize,
    resizer: &mut Resizer,
    target: &mut [u8],
) {
    assert!((1..=shorter).contains(&side), "found the side {side}, expected 1 to {shorter}");
    if width.min(height) == 0 {
        return;
    }
    let (left, across) = central(width, width.min(height), shorter, side);
    let (top, down) = central(height, width.min(height), shorter, side);
    let source = ImageRef::new(width, height, pixels, PixelType::U8x3)
        .expect("the buffer matches the size of the image");
    let mut square = Image::from_slice_u8(side as u32, side as u32, target, PixelType::U8x3)
        .expect("the target has the size of the square");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, across, down);
    resizer.resize(&source, &mut square, &options).expect("the square is inside the image");
}

/// Resizes an image `[H, W, 3]` of `[width, height]` pixels until its shorter side has `shorter`
/// pixels, if it has more, as torchvision's `Resize` does, and returns its pixels and its size.
///
/// # Panics
/// If `shorter` is zero, or `pixels` has fewer values than the image.
pub fn shrink<'a>(
    pixels: &'a [u8],
    size: [u32; 2],
    shorter: usize,
    resizer: &mut Resizer,
    target: &'a mut Vec<u8>,
) -> (&'a [u8], [u32; 2]) {
    let [width, height] = size;
    let shortest = width.min(height);
    if shortest as usize <= shorter {
        return (pixels, size);
    }
    let shrunk = size.map(|side| (shorter as u64 * u64::from(side) / u64::from(shortest)) as u32);
    target.resize(3 * shrunk[0] as usize * shrunk[1] as usize, 0);
    let source = ImageRef::new(width, height, pixels, PixelType::U8x3)
        .expect("the buffer matches the size of the image");
    let mut small = Image::from_slice_u8(shrunk[0], shrunk[1], target, PixelType::U8x3)
        .expect("the target has the size of the image");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer.resize(&source, &mut small, &options).expect("equal pixel types");
    (target, shrunk)
}

/// Start and length of the crop along a side of `length` pixels, in pixels of the source. Rounded as
/// in torchvision: the resized side down, the margin half to even.
fn central(length: u32, shortest: u32, shorter: usize, side: usize) -> (f64, f64) {
    let resized = shorter as u64 * u64::from(length) / u64::from(shortest);
    let margin = ((resized - side as u64) as f64 / 2.0).round_ties_even();
    let scale = f64::from(length) / resized as f64;
    // Rounding must not move the end beyond the image.
    let begin = margin * scale;
    (begin, (side as f64 * scale).min(f64::from(length) - begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// The images of `scripts/golden/image_files.py`.
    fn source(height: u32, width: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([0, 1, 2].map(|c| (x * 7 + y * 13 + c * 29 + x * y * (c + 1)) as u8))
        })
    }

    fn fitted(image: &RgbImage, shorter: usize, side: usize) -> Vec<u8> {
        let mut fitted = vec![0; 3 * side * side];
        fit(image, shorter, side, &mut Resizer::new(), &mut fitted);
        fitted
    }

    #[test]
    fn matches_torchvision() {
        let golden: Value = serde_json::from_str(include_str!("../tests/golden/fit.json")).unwrap();
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let fits = golden["fits"].as_array().unwrap();
        assert!(!fits.is_empty());
        for case in fits {
            let (height, width) = (number(&case["source"][0]), number(&case["source"][1]));
            let (shorter, side) = (number(&case["shorter"]), number(&case["side"]));
            let fitted = fitted(&source(height as u32, width as u32), shorter, side);
            let hex = case["pixels"].as_str().unwrap();
            let expected = hex.as_bytes().chunks(2).map(|digits| {
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            });
            // Pillow resizes the two directions in the other order, with rounding in between.
            for (at, (&found, expected)) in fitted.iter().zip(expected).enumerate() {
                assert!(
                    found.abs_diff(expected) <= 1,
                    "{height}×{width}, {at}: {found} {expected}"
                );
            }
        }
    }

    /// Resized as a whole, an image of one row would be 4 million pixels wide.
    #[test]
    fn only_the_crop_of_a_long_image_is_computed() {
        let slope = RgbImage::from_fn(65_535, 1, |x, _| image::Rgb([(x / 256) as u8; 3]));
        for (shorter, side) in [(64, 64), (4096, 64), (4096, 1), (1, 1)] {
            let fitted = fitted(&slope, shorter, side);
            assert!(fitted.iter().all(|value| (127..=128).contains(value)), "{fitted:?}");
        }
    }

    #[test]
    fn only_larger_images_are_shrunk() {
        let image = source(30, 45);
        let mut target = Vec::new();
        let mut shrink = |shorter| {
            let size = image.dimensions().into();
            let resizer = &mut Resizer::new();
            let (pixels, size) = super::shrink(&image, size, shorter, resizer, &mut target);
            (pixels.to_vec(), size)
        };
        assert_eq!(shrink(30), (image.as_raw().clone(), [45, 30]));
        // Its middle is what `fit` cuts out.
        let (pixels, size) = shrink(10);
        assert_eq!(size, [15, 10]);
        let middle = pixels.chunks(45).flat_map(|row| &row[6..36]);
        assert!(middle.zip(fitted(&image, 10, 10)).all(|(a, b)| a.abs_diff(b) <= 1));
    }

    #[test]
    fn an_empty_image_leaves_the_target_unchanged() {
        assert_eq!(fitted(&RgbImage::new(0, 5), 4, 4), [0; 48]);
    }

    proptest! {
        #[test]
        fn every_size_is_accepted(
            height in 1_u32..300,
            width in 1_u32..300,
            side in 1_usize..40,
            more in 0_usize..40,
        ) {
            let gray = RgbImage::from_pixel(width, height, image::Rgb([7, 8, 9]));
            let fitted = fitted(&gray, side + more, side);
            prop_assert!(fitted.chunks(3).all(|pixel| pixel == [7, 8, 9]));
        }
    }
}
