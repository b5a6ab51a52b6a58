//! Sizes of a convolution, and the positions of input and output that a tap connects.

use tch::{Device, Kind, Tensor};

use crate::shape::Window;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Images.
    pub images: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// The window.
    pub window: Window,
}

impl Geometry {
    /// The geometry of `window` on this map `[N, C, H, W]`.
    pub fn of(map: &Tensor, window: Window) -> Self {
        let (images, channels, height, width) = map.size4().expect("a feature map has four axes");
        let slid = |side: i64| (side + 2 * window.padding - window.kernel) / window.stride + 1;
        Self {
            images: images as usize,
            channels: channels as usize,
            input: [height as usize, width as usize],
            output: [slid(height) as usize, slid(width) as usize],
            window,
        }
    }

    /// The window's side.
    pub fn kernel(&self) -> usize {
        self.window.kernel as usize
    }

    /// An empty map of this height and width, channels-last.
    pub fn empty(&self, [height, width]: [usize; 2], channels: usize, kind: Kind) -> Tensor {
        let size = [self.images, height, width, channels].map(|side| side as i64);
        Tensor::empty(size, (kind, Device::Cpu)).permute([0, 3, 1, 2])
    }

    /// Index of the input position that the output at `[y, x]` reads through tap k; `None` in the
    /// padding.
    #[inline(always)]
    pub fn input_of(&self, [y, x]: [usize; 2], k: usize) -> Option<usize> {
        let y = self.input_at(y, k / self.kernel()).filter(|&y| y < self.input[0])?;
        let x = self.input_at(x, k % self.kernel()).filter(|&x| x < self.input[1])?;
        Some(y * self.input[1] + x)
    }

    /// Index of the output position that reads the input at `[y, x]` through tap k, if there is one.
    #[inline(always)]
    pub fn output_of(&self, [y, x]: [usize; 2], k: usize) -> Option<usize> {
        let y = self.output_at(y, k / self.kernel()).filter(|&y| y < self.output[0])?;
        let x = self.output_at(x, k % self.kernel()).filter(|&x| x < self.output[1])?;
        Some(y * self.output[1] + x)
    }

    /// Coordinate that the output at `at` reads through tap k, along one axis; it may be beyond the
    /// input, in the padding.
    pub fn input_at(&self, at: usize, k: usize) -> Option<usize> {
        (at * self.window.stride as usize + k).checked_sub(self.window.padding as usize)
    }

    /// Coordinate of the output that reads the input at `at` through tap k, along one axis.
    pub fn output_at(&self, at: usize, k: usize) -> Option<usize> {
        let (from, stride) = (at + self.window.padding as usize, self.window.stride as usize);
        let distance = from.checked_sub(k)?;
        distance.is_multiple_of(stride).then_some(distance / stride)
    }
}
