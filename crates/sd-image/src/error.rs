//! What can be wrong with the bytes of an image.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes of another kind.
    #[error("neither JPEG nor PNG nor WebP")]
    Format,
    /// A JPEG file without its end.
    #[error("a JPEG file that is cut short")]
    CutShort,
    /// An image without pixels, or with a side that is too long.
    #[error("an image of {width}×{height} pixels, expected sides of 1 to {most}")]
    Side {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The longest side allowed.
        most: u32,
    },
    /// An image that would take too much memory.
    #[error("an image of {width}×{height} pixels and {bytes} bytes, expected at most {most} bytes")]
    Bytes {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes of its pixels.
        bytes: u64,
        /// The bytes allowed.
        most: u64,
    },
    /// What the decoder says.
    #[error(transparent)]
    Decoder(#[from] image::ImageError),
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
