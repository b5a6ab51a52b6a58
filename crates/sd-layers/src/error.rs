//! Errors in a layer's configuration.

/// An error of this crate, found while a network is built, counted or exported, never in a forward
/// pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Channels that the number of groups does not divide.
    #[error("{what} {channels} do not divide by groups {groups}")]
    Groups {
        /// Which channels: "input channels" or "output channels".
        what: &'static str,
        /// The number of channels.
        channels: i64,
        /// The number of groups.
        groups: i64,
    },
    /// A value outside its range.
    #[error("{key} is {found}, expected {expected}")]
    Value {
        /// The configuration's key.
        key: &'static str,
        /// The value found.
        found: String,
        /// The values allowed.
        expected: &'static str,
    },
    /// Another number of channels than the block was built for.
    #[error("{block}: found {found} channels, expected {expected}")]
    Channels {
        /// The block.
        block: &'static str,
        /// Channels that it was built for.
        expected: i64,
        /// Channels of its input.
        found: i64,
    },
    /// A window larger than the padded feature map.
    #[error(
        "a {kernel}x{kernel} window with padding {padding} does not fit on a {height}x{width} feature map"
    )]
    Window {
        /// Side of the window.
        kernel: i64,
        /// Padding on each side.
        padding: i64,
        /// Height of the feature map.
        height: i64,
        /// Width of the feature map.
        width: i64,
    },
    /// A block without an ONNX form.
    #[error("{block} cannot be written as ONNX")]
    NotWritten {
        /// The block.
        block: &'static str,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// `found`, if it is at least 1; `key` is its key in the configuration.
pub(crate) fn positive(key: &'static str, found: i64) -> Result<i64> {
    let out_of_range = || Error::Value { key, found: found.to_string(), expected: "at least 1" };
    if found >= 1 { Ok(found) } else { Err(out_of_range()) }
}

/// `found`, if it is odd and at least 1: the side of a window with a centre.
pub(crate) fn odd(key: &'static str, found: i64) -> Result<i64> {
    let expected = "an odd number of at least 1";
    if found >= 1 && found % 2 == 1 {
        Ok(found)
    } else {
        Err(Error::Value { key, found: found.to_string(), expected })
    }
}
