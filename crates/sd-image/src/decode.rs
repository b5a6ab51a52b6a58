//! Decoding of image files, with bounds on their size.

use crate::{Error, Result};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use memchr::memchr;
use std::borrow::Cow;
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

/// Extensions of the files that [`decode`] reads, in lower case.
pub const EXTENSIONS: [&str; 6] = ["bmp", "gif", "jpeg", "jpg", "png", "webp"];

/// Decodes a JPEG, PNG, WebP, BMP or GIF file, its format detected by content, and applies the EXIF
/// orientation. Decodes the first frame of an animation.
///
/// # Errors
/// If the bytes are malformed or the image exceeds `bounds`. The bounds are checked by the header,
/// before the pixels are decoded; a frame of a GIF file with its own size may take twice the bytes.
pub fn decode(bytes: &[u8], bounds: Bounds) -> Result<DynamicImage> {
    let bytes = checked(bytes)?;
    let (decoder, orientation) = open(&bytes, bounds)?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// As [`decode`], converted to RGB of 8 bits, `[H, W, 3]`, in `pixels`, whose memory is reused. Returns
/// `[width, height]`.
///
/// # Errors
/// As [`decode`].
pub fn decode_rgb(bytes: &[u8], bounds: Bounds, pixels: &mut Vec<u8>) -> Result<[u32; 2]> {
    let bytes = checked(bytes)?;
    let (decoder, orientation) = open(&bytes, bounds)?;
    let (width, height) = decoder.dimensions();
    if decoder.color_type() == ColorType::Rgb8 && orientation == Orientation::NoTransforms {
        pixels.resize(decoder.total_bytes() as usize, 0);
        decoder.read_image(pixels)?;
        return Ok([width, height]);
    }
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let size = [image.width(), image.height()];
    *pixels = image.into_rgb8().into_raw();
    Ok(size)
}

/// A file of a known format.
struct File<'a> {
    format: ImageFormat,
    bytes: Cow<'a, [u8]>,
}

fn format(bytes: &[u8]) -> Result<ImageFormat> {
    let guess = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    match guess.map_err(ImageError::from)?.format() {
        Some(
            format @ (ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::WebP
            | ImageFormat::Bmp
            | ImageFormat::Gif),
        ) => Ok(format),
        other => Err(Error::Format { found: format_name(bytes, other) }),
    }
}

/// A file that ends, without what would take memory that its pixels do not need.
fn checked(bytes: &[u8]) -> Result<File<'_>> {
    let format = format(bytes)?;
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err(Error::Truncated);
    }
    let bytes = match format {
        ImageFormat::Png => without_color_profile(bytes),
        _ => Cow::Borrowed(bytes),
    };
    Ok(File { format, bytes })
}

/// The decoder of a file within `bounds`, and the orientation.
fn open<'a>(file: &'a File, bounds: Bounds) -> Result<(impl ImageDecoder + use<'a>, Orientation)> {
    let mut reader = ImageReader::with_format(Cursor::new(&file.bytes[..]), file.format);
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
    Ok((decoder, orientation))
}

/// Name of a format that is not read.
fn format_name(bytes: &[u8], guessed: Option<ImageFormat>) -> String {
    // The photographs of many phones, ISO/IEC 23008-12.
    const HEIF: [&[u8]; 4] = [b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"];
    match guessed {
        Some(format) => format!("{format:?}").to_uppercase(),
        None if bytes.get(4..12).is_some_and(|kind| HEIF.contains(&kind)) => "HEIC".to_owned(),
        None => "an unknown format".to_owned(),
    }
}

/// A PNG file without the profiles before its pixels, which do not depend on them. The decoder unpacks a
/// profile to a thousand times its length.
fn without_color_profile(png: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Cow::Borrowed(png);
    // After the signature.
    let mut rest = png.get(8..).unwrap_or_default();
    while let Some((&[a, b, c, d, ref name @ ..], _)) = rest.split_first_chunk::<8>() {
        // Length, name and checksum.
        let len = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(12).min(rest.len());
        match name {
            b"IDAT" => break,
            b"iCCP" => {
                let start = kept.len() - rest.len();
                kept.to_mut().drain(start..start + len);
            }
            _ => {}
        }
        rest = &rest[len..];
    }
    kept
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
            // Bytes of a scan, or a fill byte.
            [0..=0xfe, ..] => memchr(0xff, rest).unwrap_or(rest.len()),
            [0xff, 0xff, ..] => 1,
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

    const FORMATS: [ImageFormat; 5] = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
    ];

    #[test]
    fn every_format_and_colour_becomes_rgb() {
        let color = DynamicImage::from(source(5, 7));
        for format in FORMATS {
            let decoded = decoded(&encoded(&color, format)).unwrap();
            assert_eq!(decoded.dimensions(), (7, 5));
            if format != ImageFormat::Jpeg {
                assert_eq!(decoded, source(5, 7), "{format:?}");
            }
            let grey = DynamicImage::from(color.to_luma8());
            if format != ImageFormat::Gif {
                let decoded = self::decoded(&encoded(&grey, format)).unwrap();
                assert!(decoded.pixels().all(|pixel| pixel.0 == [pixel[0]; 3]), "{format:?}");
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
    fn a_color_profile_is_not_unpacked() {
        let (pixels, profile) = (source(5, 7), vec![7; 1 << 20]);
        let png = |profiles: usize| {
            let mut bytes = Vec::new();
            let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
            if profiles > 0 {
                encoder.set_icc_profile(profile.clone()).unwrap();
            }
            encoder.write_image(pixels.as_raw(), 7, 5, ExtendedColorType::Rgb8).unwrap();
            let first = bytes.windows(4).position(|name| name == b"iCCP");
            if let Some(first) = first.filter(|_| profiles > 1) {
                let len = u32::from_be_bytes(*bytes[first - 4..].first_chunk().unwrap());
                let chunk = bytes[first - 4..][..len as usize + 12].to_vec();
                bytes.splice(first - 4..first - 4, chunk);
            }
            bytes
        };
        let plain = png(0);
        assert!(matches!(without_color_profile(&plain), Cow::Borrowed(_)));
        for profiles in [1, 2] {
            let with_profiles = png(profiles);
            assert!(with_profiles.len() > plain.len());
            assert_eq!(without_color_profile(&with_profiles), plain);
            assert_eq!(decoded(&with_profiles).unwrap(), pixels);
            for length in 0..with_profiles.len() {
                without_color_profile(&with_profiles[..length]);
            }
        }
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
        let jpeg = encoded(&image, ImageFormat::Jpeg);
        let short = decoded(&jpeg[..jpeg.len() - 1]).unwrap_err().to_string();
        assert_eq!(short, "truncated JPEG file");
    }

    #[test]
    fn an_unsupported_format_is_named() {
        for (bytes, name) in [
            (b"a text".as_slice(), "an unknown format"),
            (b"II*\0\x08\0\0\0", "TIFF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
            (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        ] {
            let error = decoded(bytes).unwrap_err().to_string();
            assert_eq!(error, format!("found {name}, expected JPEG, PNG, WebP, BMP or GIF"));
        }
    }

    #[test]
    fn the_first_frame_of_a_gif_is_decoded() {
        let (first, second) = (source(5, 7), RgbImage::from_pixel(7, 5, image::Rgb([9; 3])));
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        for frame in [&first, &second] {
            encoder.encode(frame.as_raw(), 7, 5, ExtendedColorType::Rgb8).unwrap();
        }
        drop(encoder);
        assert_eq!(decoded(&bytes).unwrap(), first);
    }

    /// Each frame of a GIF file has a size of its own.
    #[test]
    fn a_huge_frame_of_a_small_gif_is_rejected_before_decoding() {
        let mut gif = encoded(&DynamicImage::from(source(8, 8)), ImageFormat::Gif);
        // The image descriptor: its separator, left and top of 0, width and height of 8.
        let frame = gif.windows(9).position(|bytes| bytes == [0x2c, 0, 0, 0, 0, 8, 0, 8, 0]);
        let size = frame.unwrap() + 5;
        gif[size..size + 4].copy_from_slice(&[0xff; 4]);
        assert!(matches!(decoded(&gif).unwrap_err(), Error::Decoder(ImageError::Limits(_))));
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

        let mut gif = encoded(&image, ImageFormat::Gif);
        gif[6..10].copy_from_slice(&[0xff; 4]);
        let mut bmp = encoded(&image, ImageFormat::Bmp);
        bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
        for bytes in [gif, bmp] {
            let error = decoded(&bytes).unwrap_err().to_string();
            assert!(error.contains("65535×65535") && error.contains("268435456"), "{error}");
        }
    }

    #[test]
    fn bounds_are_inclusive() {
        for format in FORMATS {
            let file = encoded(&DynamicImage::from(source(2, 9)), format);
            // GIF has transparency.
            let bytes = if format == ImageFormat::Gif { 72 } else { 54 };
            let bounds = Bounds { bytes, side: 9, pixels: 18 };
            assert!(decode(&file, bounds).is_ok(), "{format:?}");
            let long = decode(&file, Bounds { side: 8, ..bounds }).unwrap_err().to_string();
            assert_eq!(long, "image: found 9×2 pixels, expected sides of 1 to 8");
            let many = decode(&file, Bounds { pixels: 17, ..bounds }).unwrap_err().to_string();
            assert_eq!(many, "image: found 9×2 pixels, expected at most 17 in all");
            let large =
                decode(&file, Bounds { bytes: bytes - 1, ..bounds }).unwrap_err().to_string();
            let expected = format!("{bytes} bytes, expected at most {} bytes", bytes - 1);
            assert!(large.ends_with(&expected), "{large}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            start in 0_usize..6,
            bytes in prop::collection::vec(any::<u8>(), 0..256),
        ) {
            let magic: [&[u8]; 6] = [
                b"",
                b"\xff\xd8\xff",
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
                b"RIFF\x40\0\0\0WEBPVP8 ",
                b"BM",
                b"GIF89a\x08\0\x08\0",
            ];
            let _ = decoded(&[magic[start], &bytes].concat());
        }

        #[test]
        fn damaged_files_never_panic(
            format in 0..FORMATS.len(),
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
