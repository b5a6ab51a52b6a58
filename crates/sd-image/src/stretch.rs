//! Resizing that ignores proportions.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{ImageBuffer, Pixel};

/// Resizes an image of 8 bits to `[width, height]` with an antialiased triangle filter; `[H, W, C]`.
/// Black if the image has no pixels.
///
/// The directions are resized one after the other, the one first that leaves fewer pixels, so that
/// the image in between is at most as large as the geometric mean of the two sizes.
///
/// # Panics
/// If the image has neither one nor three channels, or a target side is zero.
pub fn stretch<P>(image: &ImageBuffer<P, Vec<u8>>, size @ [width, height]: [u32; 2]) -> Vec<u8>
where
    P: Pixel<Subpixel = u8>,
{
    let (from_width, from_height) = image.dimensions();
    let kind = match P::CHANNEL_COUNT {
        1 => PixelType::U8,
        3 => PixelType::U8x3,
        channels => panic!("found {channels} channels, expected 1 or 3"),
    };
    if from_width.min(from_height) == 0 {
        return Image::new(width, height, kind).into_vec();
    }
    if [from_width, from_height] == size {
        return image.as_raw().clone();
    }
    let area = |width, height| u64::from(width) * u64::from(height);
    let between = if area(width, from_height) <= area(from_width, height) {
        [width, from_height]
    } else {
        [from_width, height]
    };
    let source = ImageRef::new(from_width, from_height, image.as_raw(), kind)
        .expect("the buffer matches the size of the image");
    let mut resizer = Resizer::new();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let mut resized = Image::new(between[0], between[1], kind);
    resizer.resize(&source, &mut resized, &options).expect("equal pixel types");
    if between != size {
        let source = resized;
        resized = Image::new(width, height, kind);
        resizer.resize(&source, &mut resized, &options).expect("equal pixel types");
    }
    resized.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::imageops::{self, FilterType::Triangle};
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use proptest::prelude::*;

    #[test]
    fn a_row_is_stretched_without_an_image_in_between() {
        let slope = GrayImage::from_fn(65_535, 1, |x, _| Luma([(x / 256) as u8]));
        let stretched = stretch(&slope, [256, 4096]);
        assert_eq!(stretched.len(), 256 << 12);
        assert!(stretched.chunks(256).all(|row| row == &stretched[..256]));
        assert!(stretched[..256].is_sorted() && stretched[255] == 255);
    }

    #[test]
    fn an_image_without_pixels_becomes_black() {
        assert_eq!(stretch(&RgbImage::new(0, 5), [2, 1]), [0; 6]);
    }

    proptest! {
        /// Of the crate `image`, whose filter is the same in floats.
        #[test]
        fn values_are_within_a_step_of_another_implementation(
            from in (1_u32..80, 1_u32..80),
            to in (1_u32..80, 1_u32..80),
        ) {
            let image = RgbImage::from_fn(from.0, from.1, |x, y| {
                Rgb([0, 1, 2].map(|c| (x * 7 + y * 13 + c * 29 + x * y * (c + 1)) as u8))
            });
            let found = stretch(&image, [to.0, to.1]);
            let expected = imageops::resize(&image, to.0, to.1, Triangle).into_raw();
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!(found.abs_diff(*expected) <= 1, "{found} {expected}");
            }
        }
    }
}
