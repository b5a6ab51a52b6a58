//! Images that a command line names.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};
use image::{DynamicImage, ImageReader, Limits};

/// Standard input, as written on the command line.
const STDIN: &str = "-";
/// Endings of the files that are taken from a folder.
const ENDINGS: [&str; 4] = ["jpeg", "jpg", "png", "webp"];

/// Bytes of a file that are read.
const MAX_BYTES: u64 = 256 << 20;
/// Rows and columns of an image; those of the largest JPEG.
const MAX_SIDE: u32 = 65_535;

/// The files named, and those in the folders named that end like JPEG, PNG or WebP, in the order of
/// their names.
///
/// # Errors
/// Names the folder that cannot be read.
pub fn listed(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let failed = |source| Error::File { path: path.clone(), source };
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut inside = entries.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        inside.retain(|path| {
            let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
            ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        });
        inside.sort();
        all.extend(inside);
    }
    Ok(all)
}

/// An image, of whichever format its bytes are: no larger than `MAX_SIDE`, and, as is the
/// `image` crate's default, than 512 MiB. `-` is standard input.
///
/// # Errors
/// Names the file that cannot be read or is no image.
pub fn read(path: &Path) -> Result<DynamicImage> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path.as_os_str() == STDIN {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(std::io::Error::other(format!("more than {MAX_BYTES} bytes"))));
    }
    let name = path.display().to_string();
    decode(&bytes).map_err(|source| Error::Image { name, source })
}

fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits);
    reader.decode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat};
    use proptest::prelude::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let image = GrayImage::from_fn(width, height, |x, y| image::Luma([(x * 7 + y * 13) as u8]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(image).to_rgb8().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A pixel wide, it would be resized to four thousand, and then need a thousand times the
    /// memory.
    #[test]
    fn what_is_longer_than_any_photograph_is_refused() {
        assert!(decode(&encoded(MAX_SIDE, 1, ImageFormat::Png)).is_ok());
        let long = decode(&encoded(MAX_SIDE + 1, 1, ImageFormat::Png)).unwrap_err().to_string();
        assert!(long.contains("limit"), "{long}");
    }

    proptest! {
        #[test]
        fn damaged_images_never_panic(
            format in prop::sample::select(vec![ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP]),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encoded(16, 9, format);
            for (at, byte) in damage {
                *at.get_mut(&mut bytes) = byte;
            }
            bytes.truncate(end.index(2 * bytes.len()));
            let _ = decode(&bytes);
        }
    }
}
