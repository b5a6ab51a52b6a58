//! Preprocessing of images as in training.

use std::borrow::Cow;

use image::{DynamicImage, RgbImage};
use sd_image::{Resizer, fit, stretch};
use sd_onnx::{Input, Layout, Resize};

/// Returns the network's input `[C, H, W]`: the image converted to the input's channels, resized by
/// [`Resize`], padded with a black border, and normalised per channel. Transparency is dropped.
///
/// The values are bit-equal to those in training if the image has the training images' size, or the
/// network was trained on image files. The image must be upright, as
/// [`input::read`](crate::input::read) returns it.
///
/// # Panics
/// If the input's sizes contradict each other, which [`Metadata::parse`](sd_onnx::Metadata::parse)
/// refuses.
pub fn prepare(image: &DynamicImage, input: &Input) -> Vec<f32> {
    let both = 2 * input.border;
    let (inner_width, inner_height) = (input.width - both, input.height - both);
    let size = [inner_width as u32, inner_height as u32];
    let pixels = match (input.resize, input.channels) {
        (Resize::Triangle, 1) => match image.as_luma8() {
            Some(grey) => stretch(grey, size),
            None => stretch(&image.to_luma8(), size),
        },
        (Resize::Triangle, _) => stretch(&*rgb(image), size),
        (Resize::ShorterSide { pixels }, _) => {
            let mut square = vec![0; input.channels * inner_height * inner_width];
            fit(&rgb(image), pixels, inner_height, &mut Resizer::new(), &mut square);
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

/// The image in 8-bit RGB, copied only if it is not.
fn rgb(image: &DynamicImage) -> Cow<'_, RgbImage> {
    image.as_rgb8().map_or_else(|| Cow::Owned(image.to_rgb8()), Cow::Borrowed)
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
    fn channels_are_separated_and_the_border_is_black() {
        let image = RgbImage::from_raw(1, 1, vec![255, 0, 51]).unwrap();
        let prepared = prepare(&image.into(), &input(3, 3, 1));
        assert_eq!(prepared.len(), 27);
        assert_eq!([prepared[4], prepared[13], prepared[22]], [2.0, -2.0, (0.2 - 0.5) / 0.25]);
        let black = prepared.iter().filter(|&&value| value == -2.0).count();
        assert_eq!(black, 25);
    }

    /// On an image of a black, a grey and a white square.
    #[test]
    fn resizing_the_shorter_side_keeps_proportions_and_crops() {
        let image = RgbImage::from_fn(60, 20, |x, _| image::Rgb([(x / 20 * 100) as u8; 3]));
        let resize = |pixels| Input { resize: Resize::ShorterSide { pixels }, ..input(3, 10, 0) };
        let byte = |value: f32| (255.0 * (0.25 * value + 0.5)).round();
        let cut = prepare(&image.clone().into(), &resize(20));
        assert!(cut.iter().all(|&value| byte(value) == 100.0), "{cut:?}");
        // The middle square, with the triangle filter reaching into its neighbours.
        let whole = prepare(&image.into(), &resize(10));
        let (left, middle, right) = (byte(whole[0]), byte(whole[5]), byte(whole[9]));
        assert!(0.0 < left && left < middle, "{whole:?}");
        assert!(middle == 100.0 && middle < right && right < 200.0, "{whole:?}");
    }

    #[test]
    fn an_empty_image_becomes_black() {
        for resize in [Resize::Triangle, Resize::ShorterSide { pixels: 8 }] {
            let input = Input { resize, ..input(3, 8, 0) };
            assert_eq!(prepare(&RgbImage::new(0, 7).into(), &input), [-2.0; 192]);
        }
    }

    #[test]
    fn images_are_resized_and_converted_to_the_channels() {
        let image = GrayImage::from_pixel(50, 20, image::Luma([255]));
        assert_eq!(prepare(&image.into(), &input(3, 8, 0)), [2.0; 192]);
        let image = RgbImage::from_pixel(2, 3, image::Rgb([0, 0, 0]));
        assert_eq!(prepare(&image.into(), &input(1, 8, 2)), [-2.0; 64]);
    }
}
