//! An image as a network takes it.

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, Pixel};
use sd_onnx::{Input, Layout, Resize};

/// The image as the network takes it, `[C, H, W]`: brought to the input's channels, resized to its
/// sides without the border, bordered with black, and normalised, channel by channel.
///
/// An image that has the training images' size becomes the very numbers that training computes
/// from it. Transparency is dropped.
pub fn prepare(image: &DynamicImage, input: &Input) -> Vec<f32> {
    let both = 2 * input.border;
    let size = ((input.width - both) as u32, (input.height - both) as u32);
    let pixels = match input.channels {
        1 => resized(&image.to_luma8(), size, input.resize),
        _ => resized(&image.to_rgb8(), size, input.resize),
    };
    let mut prepared = Vec::with_capacity(input.channels * input.height * input.width);
    let Layout::Nchw = input.layout;
    let (inner_width, inner_height) = (input.width - both, input.height - both);
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
fn resized<P>(image: &ImageBuffer<P, Vec<u8>>, size: (u32, u32), resize: Resize) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    if image.dimensions() == size {
        return image.as_raw().clone();
    }
    let Resize::Triangle = resize;
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

    #[test]
    fn another_size_and_colour_fit() {
        let image = GrayImage::from_pixel(50, 20, image::Luma([255]));
        assert_eq!(prepare(&image.into(), &input(3, 8, 0)), [2.0; 192]);
        let image = RgbImage::from_pixel(2, 3, image::Rgb([0, 0, 0]));
        assert_eq!(prepare(&image.into(), &input(1, 8, 2)), [-2.0; 64]);
    }
}
