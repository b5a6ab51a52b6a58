//! The shape of a feature map, and the arithmetic of sliding windows.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The shape of one image's feature map: `[channels, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureShape {
    /// Channels.
    pub channels: i64,
    /// Height in pixels.
    pub height: i64,
    /// Width in pixels.
    pub width: i64,
}

/// A square sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Side in pixels.
    pub kernel: i64,
    /// Stride in pixels.
    pub stride: i64,
    /// Zero padding on each side in pixels.
    pub padding: i64,
}

impl Window {
    /// A window of odd side with "same" padding: it keeps height and width at stride 1 and halves them
    /// at stride 2.
    pub const fn same(kernel: i64, stride: i64) -> Self {
        Self { kernel, stride, padding: kernel / 2 }
    }

    /// A window that tiles the map: the stride is its side, without padding.
    pub const fn tiles(kernel: i64) -> Self {
        Self { kernel, stride: kernel, padding: 0 }
    }
}

impl FeatureShape {
    /// A feature map's shape.
    pub const fn new(channels: i64, height: i64, width: i64) -> Self {
        Self { channels, height, width }
    }

    /// Positions of one channel: height · width.
    pub const fn positions(self) -> u64 {
        (self.height * self.width) as u64
    }

    /// Returns the output shape of `window` on this map with `channels` output channels.
    ///
    /// # Errors
    /// [`Error::Window`] if the window is larger than the padded map.
    pub fn slide(self, window: Window, channels: i64) -> Result<Self> {
        let Window { kernel, stride, padding } = window;
        let (height, width) = (self.height + 2 * padding, self.width + 2 * padding);
        if kernel > height || kernel > width {
            return Err(Error::Window { kernel, padding, height: self.height, width: self.width });
        }
        Ok(Self {
            channels,
            height: (height - kernel) / stride + 1,
            width: (width - kernel) / stride + 1,
        })
    }

    /// Returns this shape if it has the channels that `block` was built for.
    ///
    /// # Errors
    /// [`Error::Channels`] if it has others.
    pub fn expect_channels(self, expected: i64, block: &'static str) -> Result<Self> {
        if self.channels == expected {
            Ok(self)
        } else {
            Err(Error::Channels { block, expected, found: self.channels })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_shapes_follow_pytorchs_formula() {
        let input = FeatureShape::new(3, 32, 31);
        let halved = input.slide(Window::same(3, 2), 8).unwrap();
        assert_eq!(halved, FeatureShape::new(8, 16, 16));
        let stem = FeatureShape::new(3, 224, 224).slide(Window::same(7, 2), 64).unwrap();
        assert_eq!(stem, FeatureShape::new(64, 112, 112));
        let tiled = FeatureShape::new(64, 7, 7).slide(Window::tiles(2), 64).unwrap();
        assert_eq!(tiled, FeatureShape::new(64, 3, 3));
    }

    #[test]
    fn a_window_larger_than_the_map_is_an_error() {
        let error = FeatureShape::new(8, 1, 1).slide(Window::tiles(2), 8).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a 2x2 window with padding 0 does not fit on a 1x1 feature map"
        );
    }
}
