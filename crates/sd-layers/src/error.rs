//! What can be wrong with a layer's configuration.

/// An error of this crate. Every one of them is found while a network is built or counted, never
/// in a forward pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Channels that do not divide by the number of groups.
    #[error("{what} {channels} do not divide by groups {groups}")]
    Groups {
        /// Which channels: "input channels" or "output channels".
        what: &'static str,
        /// How many there are.
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
        found: i64,
        /// The values allowed.
        expected: &'static str,
    },
    /// A block that was given another number of channels than it was built for.
    #[error("{block} was built for {expected} channels and is given {found}")]
    Channels {
        /// The block.
        block: &'static str,
        /// Channels it was built for.
        expected: i64,
        /// Channels it is given.
        found: i64,
    },
    /// A window larger than the padded feature map it slides over.
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
    /// A block that cannot be written into an ONNX graph.
    #[error("{block} cannot be written as ONNX")]
    NotWritten {
        /// The block's type, or what it would need.
        block: &'static str,
    },
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// `found`, if it is at least 1; `key` is what the configuration calls it.
pub(crate) fn positive(key: &'static str, found: i64) -> Result<i64> {
    if found >= 1 { Ok(found) } else { Err(Error::Value { key, found, expected: "at least 1" }) }
}

/// `found`, if it is the side of a window with a centre.
pub(crate) fn odd(key: &'static str, found: i64) -> Result<i64> {
    let expected = "an odd number of at least 1";
    if found >= 1 && found % 2 == 1 {
        Ok(found)
    } else {
        Err(Error::Value { key, found, expected })
    }
}
