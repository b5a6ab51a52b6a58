//! The errors of this crate.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A format that is not read.
    #[error("found {found}, expected JPEG, PNG, WebP, BMP or GIF")]
    Format {
        /// Its name.
        found: String,
    },
    /// A JPEG file without an end marker.
    #[error("truncated JPEG file")]
    Truncated,
    /// A side that is zero or too long.
    #[error("image: found {width}×{height} pixels, expected sides of 1 to {most}")]
    Side {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The longest side allowed.
        most: u32,
    },
    /// An image of too many pixels.
    #[error("image: found {width}×{height} pixels, expected at most {most} in all")]
    Pixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The most accepted.
        most: u64,
    },
    /// An image that needs too much memory.
    #[error("image: found {width}×{height} pixels of {bytes} bytes, expected at most {most} bytes")]
    Bytes {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes of its pixels.
        bytes: u64,
        /// Maximum bytes.
        most: u64,
    },
    /// An error of the decoder.
    #[error(transparent)]
    Decoder(#[from] image::ImageError),
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
