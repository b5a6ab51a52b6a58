//! Decoding of image files, with bounds on their size.

use crate::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Bounds on the size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of its pixels, at the depth of the file: 1 byte per value, or 2 for 16 bits.
    pub bytes: u64,
    /// Largest height and width in pixels.
    pub side: u32,
    /// Number of pixels.
    pub pixels: u64,
}

/// Decodes a JPEG, PNG or WebP file, its format detected by content, and applies the EXIF
/// orientation. Decodes the first frame of an animation.
///
/// # Errors
/// If the bytes are malformed or the image exceeds `bounds`. The bounds are checked by the header,
/// before the pixels are decoded.
pub fn decode(bytes: &[u8], bounds: Bounds) -> Result<DynamicImage> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(ImageError::from)?;
    let format = match reader.format() {
        Some(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err(Error::Format),
    };
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err(Error::Truncated);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(bounds.bytes.saturating_mul(2));
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if width.min(height) == 0 || width.max(height) > bounds.side {
        return Err(Error::Side { width, height, most: bounds.side });
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > bounds.pixels {
        return Err(Error::Pixels { width, height, most: bounds.pixels });
    }
    if decoder.total_bytes() > bounds.bytes {
        let (bytes, most) = (decoder.total_bytes(), bounds.bytes);
        return Err(Error::Bytes { width, height, bytes, most });
    }
    // Invalid metadata does not make the image unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Whether a JPEG file has its end marker, ITU-T T.81, B.1.1. Without it, the decoder fills the
/// missing part with grey.
fn jpeg_ends(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    // After the start marker.
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let skipped = match rest {
            [0xff, END, ..] => return true,
            // A byte of a scan, or a fill byte.
            [0..=0xfe, ..] | [0xff, 0xff, ..] => 1,
            // An escaped 0xff of a scan, or a marker without a length.
            [0xff, 0x00 | 0x01 | 0xd0..=0xd8, ..] => 2,
            [0xff, _, high, low, ..] => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        rest = rest.get(skipped..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, RgbImage};
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { bytes: 256 << 20, side: 100_000, pixels: u64::MAX };

    fn decoded(bytes: &[u8]) -> Result<RgbImage> {
        decode(bytes, BOUNDS).map(DynamicImage::into_rgb8)
    }

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
    fn every_format_and_colour_becomes_rgb() {
        let color = DynamicImage::from(source(5, 7));
        for format in FORMATS {
            let decoded = decoded(&encoded(&color, format)).unwrap();
            assert_eq!(decoded.dimensions(), (7, 5));
            if format != ImageFormat::Jpeg {
                assert_eq!(decoded, source(5, 7), "{format:?}");
            }
        }
        let png = |image: DynamicImage| decoded(&encoded(&image, ImageFormat::Png)).unwrap();
        let grey = png(color.to_luma8().into());
        assert!(grey.pixels().all(|pixel| pixel.0 == [pixel[0]; 3]));
        assert_eq!(png(color.to_rgb16().into()), source(5, 7));
        // Transparency is dropped.
        let mut clear = color.to_rgba8();
        clear.pixels_mut().for_each(|pixel| pixel[3] = 0);
        assert_eq!(png(clear.into()), source(5, 7));
    }

    #[test]
    fn exif_orientation_is_applied() {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        // A little-endian TIFF header and one entry: orientation 6, rotated by 90°.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        encoder.set_exif_metadata(exif).unwrap();
        let lying = source(5, 7);
        encoder.write_image(lying.as_raw(), 7, 5, ExtendedColorType::Rgb8).unwrap();
        let upright = image::imageops::rotate90(&lying);
        assert_eq!(decoded(&bytes).unwrap(), upright);
    }

    #[test]
    fn truncated_files_are_rejected() {
        let image = DynamicImage::from(source(64, 64));
        for format in FORMATS {
            let bytes = encoded(&image, format);
            decoded(&bytes).unwrap();
            for length in [0, 1, 2, 20, bytes.len() / 2, bytes.len() - 20] {
                assert!(decoded(&bytes[..length]).is_err(), "{format:?} {length}");
            }
        }
        let text = decoded(b"a text").unwrap_err().to_string();
        assert_eq!(text, "neither JPEG nor PNG nor WebP");
        let jpeg = encoded(&image, ImageFormat::Jpeg);
        let short = decoded(&jpeg[..jpeg.len() - 1]).unwrap_err().to_string();
        assert_eq!(short, "truncated JPEG file");
    }

    #[test]
    fn a_huge_size_is_rejected_before_decoding() {
        let image = DynamicImage::from(source(8, 8));
        let mut png = encoded(&image, ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let checksum = crc32fast::hash(&png[12..29]);
        png[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decoded(&png).unwrap_err().to_string();
        assert!(error.contains("65536×65536") || error.contains("limit"), "{error}");

        let mut jpeg = encoded(&image, ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        let error = decoded(&jpeg).unwrap_err().to_string();
        assert!(error.contains("65535×65535") && error.contains("268435456"), "{error}");
    }

    #[test]
    fn bounds_are_inclusive() {
        for format in FORMATS {
            let bytes = encoded(&DynamicImage::from(source(2, 9)), format);
            let bounds = Bounds { bytes: 54, side: 9, pixels: 18 };
            assert!(decode(&bytes, bounds).is_ok(), "{format:?}");
            let long = decode(&bytes, Bounds { side: 8, ..bounds }).unwrap_err().to_string();
            assert_eq!(long, "image: found 9×2 pixels, expected sides of 1 to 8");
            let many = decode(&bytes, Bounds { pixels: 17, ..bounds }).unwrap_err().to_string();
            assert_eq!(many, "image: found 9×2 pixels, expected at most 17 in all");
            let large = decode(&bytes, Bounds { bytes: 53, ..bounds }).unwrap_err().to_string();
            assert!(large.ends_with("54 bytes, expected at most 53 bytes"), "{large}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            start in 0_usize..4,
            bytes in prop::collection::vec(any::<u8>(), 0..256),
        ) {
            let magic: [&[u8]; 4] =
                [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\x40\0\0\0WEBPVP8 "];
            let _ = decoded(&[magic[start], &bytes].concat());
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
            let _ = decoded(&bytes);
            bytes.truncate(end.index(bytes.len()));
            let _ = decoded(&bytes);
        }
    }
}
