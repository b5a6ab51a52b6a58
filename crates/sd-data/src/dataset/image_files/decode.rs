//! Bytes of a file to pixels, with bounds on what a file may ask for.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Bytes of a file, and of the image decoded from it: 89 megapixels of red, green and blue.
const MAX_BYTES: u64 = 256 << 20;

/// The bytes of a file that is neither too large nor a pipe or a device, from which reading might
/// never end.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{} bytes, expected at most {MAX_BYTES}", metadata.len()));
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// The image in a JPEG, PNG or WebP file, whatever the file is called, upright, in red, green and
/// blue. Of a moving image it is the first.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    decode_within(bytes, MAX_BYTES)
}

/// The image in a file, if its pixels are at most so many bytes.
pub(in crate::dataset) fn decode_within(bytes: &[u8], most: u64) -> Result<RgbImage, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let format = match reader.format() {
        Some(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err("neither JPEG nor PNG nor WebP".to_owned()),
    };
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err("a JPEG file that is cut short".to_owned());
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * most);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(reason)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err("an image without pixels".to_owned());
    }
    if decoder.total_bytes() > most {
        return Err(format!(
            "an image of {width}×{height} pixels and {} bytes, expected at most {most} bytes",
            decoder.total_bytes()
        ));
    }
    // What the camera wrote beside the image does not make the image unreadable.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(reason)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

fn reason(error: ImageError) -> String {
    error.to_string()
}

/// Whether a JPEG file reaches the marker of its end, ITU-T T.81, B.1.1. Without it the decoder
/// makes a grey area of what is missing.
fn jpeg_ends(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    // After the marker of the beginning.
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        let passed = match rest {
            [0xff, END, ..] => return true,
            // A byte of a scan, or one that fills up.
            [0..=0xfe, ..] | [0xff, 0xff, ..] => 1,
            // A byte 0xff of a scan, and markers without a length.
            [0xff, 0x00 | 0x01 | 0xd0..=0xd8, ..] => 2,
            [0xff, _, high, low, ..] => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        rest = rest.get(passed..).unwrap_or_default();
    }
}
