use super::*;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use proptest::prelude::*;
use serde_json::Value;
use std::io::Cursor;

/// The images of `scripts/golden/image_files.py`.
fn source(height: u32, width: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([0, 1, 2].map(|c| (x * 7 + y * 13 + c * 29 + x * y * (c + 1)) as u8))
    })
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

#[test]
fn fits_as_torchvision_does() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../tests/golden/image_files.json")).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let fits = golden["fits"].as_array().unwrap();
    assert!(!fits.is_empty());
    for case in fits {
        let (height, width) = (number(&case["source"][0]), number(&case["source"][1]));
        let (shorter, side) = (number(&case["shorter"]), number(&case["side"]));
        let mut fitted = vec![0; 3 * side * side];
        let image = source(height as u32, width as u32);
        fit::fit(&image, shorter, side, &mut Resizer::new(), &mut fitted);
        let hex = case["pixels"].as_str().unwrap();
        let expected = hex
            .as_bytes()
            .chunks(2)
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        // Pillow rounds between the two directions of a resize, in another order.
        for (at, (&found, expected)) in fitted.iter().zip(expected).enumerate() {
            assert!(found.abs_diff(expected) <= 1, "{height}×{width}, {at}: {found} {expected}");
        }
    }
}

#[test]
fn every_format_and_colour_becomes_red_green_and_blue() {
    let color = DynamicImage::from(source(5, 7));
    for format in FORMATS {
        let decoded = decode::decode(&encoded(&color, format)).unwrap();
        assert_eq!(decoded.dimensions(), (7, 5));
        if format != ImageFormat::Jpeg {
            assert_eq!(decoded, source(5, 7), "{format:?}");
        }
    }
    let png = |image: DynamicImage| decode::decode(&encoded(&image, ImageFormat::Png)).unwrap();
    let grey = png(color.to_luma8().into());
    assert!(grey.pixels().all(|pixel| pixel.0 == [pixel[0]; 3]));
    assert_eq!(png(color.to_rgb16().into()), source(5, 7));
    // What is transparent is as opaque as the rest.
    let mut clear = color.to_rgba8();
    clear.pixels_mut().for_each(|pixel| pixel[3] = 0);
    assert_eq!(png(clear.into()), source(5, 7));
}

#[test]
fn exif_turns_upright() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    // A little-endian TIFF header and one entry: orientation 6, the right side is up.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    encoder.set_exif_metadata(exif).unwrap();
    let lying = source(5, 7);
    encoder.write_image(lying.as_raw(), 7, 5, ExtendedColorType::Rgb8).unwrap();
    let upright = image::imageops::rotate90(&lying);
    assert_eq!(decode::decode(&bytes).unwrap(), upright);
}

#[test]
fn what_is_cut_short_is_broken() {
    let image = DynamicImage::from(source(64, 64));
    for format in FORMATS {
        let bytes = encoded(&image, format);
        decode::decode(&bytes).unwrap();
        for length in [0, 1, 2, 20, bytes.len() / 2, bytes.len() - 20] {
            assert!(decode::decode(&bytes[..length]).is_err(), "{format:?} {length}");
        }
    }
    let text = decode::decode(b"a text").unwrap_err();
    assert_eq!(text, "neither JPEG nor PNG nor WebP");
    let jpeg = encoded(&image, ImageFormat::Jpeg);
    let short = decode::decode(&jpeg[..jpeg.len() - 1]).unwrap_err();
    assert_eq!(short, "a JPEG file that is cut short");
}

#[test]
fn a_huge_size_is_refused_before_it_is_decoded() {
    let image = DynamicImage::from(source(8, 8));
    let mut png = encoded(&image, ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc32fast::hash(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = decode::decode(&png).unwrap_err();
    assert!(error.contains("65536×65536") || error.contains("limit"), "{error}");

    let mut jpeg = encoded(&image, ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let error = decode::decode(&jpeg).unwrap_err();
    assert!(error.contains("65535×65535") && error.contains("268435456"), "{error}");
}

/// An image of one row would be 4 million columns wide, were the whole of it made.
#[test]
fn a_long_image_needs_only_its_middle() {
    let mut fitted = vec![0; 3 * 64 * 64];
    let slope = RgbImage::from_fn(65_535, 1, |x, _| image::Rgb([(x / 256) as u8; 3]));
    fit::fit(&slope, 64, 64, &mut Resizer::new(), &mut fitted);
    assert!(fitted.iter().all(|value| (127..=128).contains(value)), "{fitted:?}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        start in 0_usize..4,
        bytes in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let magic: [&[u8]; 4] =
            [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\x40\0\0\0WEBPVP8 "];
        let _ = decode::decode(&[magic[start], &bytes].concat());
    }

    #[test]
    fn damaged_files_never_panic(
        format in 0_usize..3,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(&DynamicImage::from(source(16, 24)), FORMATS[format]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode::decode(&bytes);
        bytes.truncate(end.index(bytes.len()));
        let _ = decode::decode(&bytes);
    }

    #[test]
    fn every_size_fits(
        height in 1_u32..300,
        width in 1_u32..300,
        side in 1_usize..40,
        more in 0_usize..40,
    ) {
        let gray = RgbImage::from_pixel(width, height, image::Rgb([7, 8, 9]));
        let mut fitted = vec![0; 3 * side * side];
        fit::fit(&gray, side + more, side, &mut Resizer::new(), &mut fitted);
        prop_assert!(fitted.chunks(3).all(|pixel| pixel == [7, 8, 9]));
    }
}
