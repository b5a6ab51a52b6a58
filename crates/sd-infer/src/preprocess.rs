//! An image as a network takes it.

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, Pixel};
use sd_image::{Resizer, fit};
use sd_onnx::{Input, Layout, Resize};

/// The image as the network takes it, `[C, H, W]`: brought to the input's channels, then by its
/// [`Resize`] to its sides without the border, bordered with black, and normalised, channel by
/// channel.
///
/// An image that has the training images' size, or any image of a network that was trained on image
/// files, becomes the very numbers that training computes from it. Transparency is dropped. The
/// image has to be upright, as [`input::read`](crate::input::read) gives it.
///
/// # Panics
/// When the input's numbers contradict each other; [`Metadata::parse`](sd_onnx::Metadata::parse)
/// refuses those.
pub fn prepare(image: &DynamicImage, input: &Input) -> Vec<f32> {
    let both = 2 * input.border;
    let (inner_width, inner_height) = (input.width - both, input.height - both);
    let size = (inner_width as u32, inner_height as u32);
    let pixels = match (input.resize, input.channels) {
        (Resize::Triangle, 1) => stretched(&image.to_luma8(), size),
        (Resize::Triangle, _) => stretched(&image.to_rgb8(), size),
        (Resize::ShorterSide { pixels }, _) => {
            let mut square = vec![0; input.channels * inner_height * inner_width];
            fit(&image.to_rgb8(), pixels, inner_height, &mut Resizer::new(), &mut square);
            square
        }
    };
    let mut prepared = Vec::with_capacity(input.channels * input.height * input.width);
    let Layout::Nchw = input.layout;
    for (channel, (&mean, &deviation)) in input.mean.iter().zip(&input.deviation).enumerate() {
        let normalised = |byte: u8| (f32::from(byte) / 255.0 - mean) / deviation;
        for row in 0..input.height {
            for column in 0..input.width {
                let inside =
                    |at: usize, inner: usize| at.checked_sub(input.border).filter(|&at| at < inner);
                let byte = match (inside(row, inner_height), inside(column, inner_width)) {
                    (Some(row), Some(column)) => {
                        pixels[(row * inner_width + column) * input.channels + channel]
                    }
                    _ => 0,
                };
                prepared.push(normalised(byte));
            }
        }
    }
    prepared
}

/// The pixels at this width and height, `[H, W, C]`.
fn stretched<P>(image: &ImageBuffer<P, Vec<u8>>, size: (u32, u32)) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    if image.dimensions() == size {
        return image.as_raw().clone();
    }
    imageops::resize(image, size.0, size.1, FilterType::Triangle).into_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    fn input(channels: usize, side: usize, border: usize) -> Input {
        Input {
            channels,
            height: side,
            width: side,
            border,
            resize: Resize::Triangle,
            layout: Layout::Nchw,
            mean: vec![0.5; channels],
            deviation: vec![0.25; channels],
        }
    }

    #[test]
    fn channels_come_apart_and_the_border_is_black() {
        let image = RgbImage::from_raw(1, 1, vec![255, 0, 51]).unwrap();
        let prepared = prepare(&image.into(), &input(3, 3, 1));
        assert_eq!(prepared.len(), 27);
        assert_eq!([prepared[4], prepared[13], prepared[22]], [2.0, -2.0, (0.2 - 0.5) / 0.25]);
        let black = prepared.iter().filter(|&&value| value == -2.0).count();
        assert_eq!(black, 25);
    }

    /// An image of three squares, black, grey and white.
    #[test]
    fn a_shorter_side_keeps_proportions_and_cuts() {
        let image = RgbImage::from_fn(60, 20, |x, _| image::Rgb([(x / 20 * 100) as u8; 3]));
        let resize = |pixels| Input { resize: Resize::ShorterSide { pixels }, ..input(3, 10, 0) };
        let byte = |value: f32| (255.0 * (0.25 * value + 0.5)).round();
        let cut = prepare(&image.clone().into(), &resize(20));
        assert!(cut.iter().all(|&value| byte(value) == 100.0), "{cut:?}");
        // The whole square in the middle, where the triangle reaches the neighbours' edges.
        let whole = prepare(&image.into(), &resize(10));
        let (left, middle, right) = (byte(whole[0]), byte(whole[5]), byte(whole[9]));
        assert!(0.0 < left && left < middle, "{whole:?}");
        assert!(middle == 100.0 && middle < right && right < 200.0, "{whole:?}");
    }

    #[test]
    fn an_image_without_pixels_is_black() {
        for resize in [Resize::Triangle, Resize::ShorterSide { pixels: 8 }] {
            let input = Input { resize, ..input(3, 8, 0) };
            assert_eq!(prepare(&RgbImage::new(0, 7).into(), &input), [-2.0; 192]);
        }
    }

    #[test]
    fn another_size_and_colour_fit() {
        let image = GrayImage::from_pixel(50, 20, image::Luma([255]));
        assert_eq!(prepare(&image.into(), &input(3, 8, 0)), [2.0; 192]);
        let image = RgbImage::from_pixel(2, 3, image::Rgb([0, 0, 0]));
        assert_eq!(prepare(&image.into(), &input(1, 8, 2)), [-2.0; 64]);
    }
}
