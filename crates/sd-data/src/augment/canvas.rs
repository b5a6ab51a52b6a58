//! The image that augmentations work on.

use super::Placement;
use super::operation::{Operation, Pixels};
use crate::ImageShape;
use crate::source::Picture;
use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Memory that a worker reuses from image to image.
#[derive(Debug)]
pub(crate) struct Scratch {
    pixels: Pixels,
    resizer: Resizer,
    erased: Vec<Rectangle>,
}

impl Scratch {
    /// For images of `shape`. Allocates only when the value of a pixel changes.
    pub(crate) fn new(shape: ImageShape) -> Self {
        Self { pixels: Pixels::new(shape), resizer: Resizer::new(), erased: Vec::new() }
    }
}

/// A rectangle inside an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rectangle {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// The image that augmentations change: the untouched source, its placement, and the areas to erase.
/// The source is copied only when the value of a pixel changes.
#[derive(Debug)]
pub struct Canvas<'a> {
    source: Picture<'a>,
    placement: Placement,
    scratch: &'a mut Scratch,
    /// Whether the scratch pixels replace `source`.
    copied: bool,
}

impl<'a> Canvas<'a> {
    /// `source` is `[H, W, C]`, of the shape of `scratch`.
    #[cfg(test)]
    pub(crate) fn new(source: &'a [u8], scratch: &'a mut Scratch) -> Self {
        Self::of(Picture::new(source, scratch.pixels.shape()), scratch)
    }

    /// `source` has the shape of `scratch`, unless the first change is [`enlarge`](Self::enlarge).
    pub(crate) fn of(source: Picture<'a>, scratch: &'a mut Scratch) -> Self {
        scratch.erased.clear();
        Self { source, placement: Placement::default(), scratch, copied: false }
    }

    pub(super) fn shape(&self) -> ImageShape {
        self.scratch.pixels.shape()
    }

    /// Changes the placement, without copying.
    pub(super) fn place(&mut self, change: impl FnOnce(Placement) -> Placement) {
        self.placement = change(self.placement);
    }

    /// The pixels as placed so far, for changes of their values.
    pub(super) fn pixels(&mut self) -> &mut Pixels {
        let pixels = &mut self.scratch.pixels;
        let placement = std::mem::take(&mut self.placement);
        if !self.copied {
            pixels.fill_with(|shape, target| placement.copy(self.source.pixels, shape, target));
            self.copied = true;
        } else if placement != Placement::default() {
            pixels.rewrite(|shape, source, target| placement.copy(source, shape, target));
        }
        pixels
    }

    /// Applies an operation. Areas outside the image become `fill`.
    pub(super) fn apply(&mut self, operation: Operation, fill: u8) {
        if operation != Operation::Identity {
            operation.apply(self.pixels(), fill);
        }
    }

    /// The shape of the image as it is now: that of the source until it is copied.
    pub(super) fn current_shape(&self) -> ImageShape {
        let Picture { height, width, .. } = self.source;
        if self.copied { self.shape() } else { ImageShape { height, width, ..self.shape() } }
    }

    /// Resizes a part of the image to the whole, by bilinear interpolation. For images of one or three
    /// channels.
    pub(super) fn enlarge(&mut self, part: Rectangle) {
        let (shape, from) = (self.shape(), self.current_shape());
        let ImageShape { height, width, .. } = shape;
        if from == shape && part == (Rectangle { top: 0, left: 0, height, width }) {
            return;
        }
        if self.placement != Placement::default() {
            self.pixels();
        }
        let source = self.source.pixels;
        let Scratch { pixels, resizer, .. } = &mut *self.scratch;
        if self.copied {
            pixels.rewrite(|_, source, target| resize(resizer, source, from, part, shape, target));
        } else {
            pixels.fill_with(|_, target| resize(resizer, source, from, part, shape, target));
            self.copied = true;
        }
    }

    /// Sets `rectangle` to zero after normalisation. Later placements would not move it, so `check_all`
    /// lets only erasures follow.
    pub(super) fn erase(&mut self, rectangle: Rectangle) {
        self.scratch.erased.push(rectangle);
    }

    /// Writes the image to `target`, `[H, W, C]`, normalised by the lookup `tables` of the channels.
    pub(crate) fn write(self, tables: &[[f32; 256]], target: &mut [f32]) {
        let shape = self.shape();
        let source = if self.copied { self.scratch.pixels.values() } else { self.source.pixels };
        self.placement.write(source, shape, tables, target);
        for &Rectangle { top, left, height, width } in &self.scratch.erased {
            let rows = target.chunks_exact_mut(shape.width * shape.channels).skip(top).take(height);
            for row in rows {
                row[left * shape.channels..(left + width) * shape.channels].fill(0.0);
            }
        }
    }
}

/// Resizes a part of an image of the shape `from` to one of the shape `to`.
fn resize(
    resizer: &mut Resizer,
    source: &[u8],
    from: ImageShape,
    part: Rectangle,
    to: ImageShape,
    target: &mut [u8],
) {
    let kind = if to.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let source = ImageRef::new(from.width as u32, from.height as u32, source, kind)
        .expect("one or three channels, as `check` found");
    let [left, top, width, height] =
        [part.left, part.top, part.width, part.height].map(|n| n as u32);
    let part =
        CroppedImage::new(&source, left, top, width, height).expect("the part is inside the image");
    let mut target = Image::from_slice_u8(to.width as u32, to.height as u32, target, kind)
        .expect("the target has the shape");
    let bilinear = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    resizer.resize(&part, &mut target, &bilinear).expect("both have pixels of one kind");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape::new(1, 2, 3);
    const SOURCE: [u8; 6] = [10, 20, 30, 40, 50, 60];

    fn written(change: impl FnOnce(&mut Canvas)) -> Vec<f32> {
        let mut scratch = Scratch::new(SHAPE);
        // Remains of an earlier image.
        Canvas::new(&[9; 6], &mut scratch).pixels();
        scratch.erased.push(Rectangle { top: 0, left: 0, height: 2, width: 3 });
        let mut canvas = Canvas::new(&SOURCE, &mut scratch);
        change(&mut canvas);
        let mut target = vec![f32::NAN; 6];
        canvas.write(&[std::array::from_fn(|byte| byte as f32)], &mut target);
        target
    }

    #[test]
    fn changes_apply_in_order() {
        assert_eq!(written(|_| {}), SOURCE.map(f32::from));
        let left = |canvas: &mut Canvas| canvas.place(|placement| placement.moved(0, 1));
        let invert = |canvas: &mut Canvas| canvas.pixels().map(|byte| 255 - byte);
        assert_eq!(written(left), [20.0, 30.0, 0.0, 50.0, 60.0, 0.0]);
        let left_then_invert = written(|canvas| {
            left(canvas);
            invert(canvas);
        });
        assert_eq!(left_then_invert, [235.0, 225.0, 255.0, 205.0, 195.0, 255.0]);
        let alternating = written(|canvas| {
            invert(canvas);
            left(canvas);
            invert(canvas);
            canvas.place(Placement::mirrored);
        });
        assert_eq!(alternating, [255.0, 30.0, 20.0, 255.0, 60.0, 50.0]);
    }

    #[test]
    fn erased_areas_are_zero_after_normalisation() {
        let erased = written(|canvas| {
            canvas.erase(Rectangle { top: 1, left: 1, height: 1, width: 2 });
            canvas.erase(Rectangle { top: 0, left: 0, height: 1, width: 0 });
        });
        assert_eq!(erased, [10.0, 20.0, 30.0, 40.0, 0.0, 0.0]);
    }

    /// Against `scripts/golden/image_files.py`.
    #[test]
    fn enlarges_as_torchvision_does() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/image_files.json")).unwrap();
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let parts = golden["parts"].as_array().unwrap();
        assert!(!parts.is_empty());
        for case in parts {
            let (channels, side) = (number(&case["channels"]), number(&case["side"]));
            let mut source = Vec::new();
            for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                let value = |c| (x * 7 + y * 13 + c * 29 + x * y * (c + 1)) as u8;
                source.extend((0..channels).map(value));
            }
            let [top, left, height, width] = [0, 1, 2, 3].map(|index| number(&case["part"][index]));
            let mut scratch = Scratch::new(ImageShape::new(channels, side, side));
            let mut canvas = Canvas::new(&source, &mut scratch);
            canvas.enlarge(Rectangle { top, left, height, width });
            let hex = case["pixels"].as_str().unwrap();
            for (at, &found) in canvas.pixels().values().iter().enumerate() {
                let expected = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
                assert!(found.abs_diff(expected) <= 1, "{case}\n{at}: {found} {expected}");
            }
        }
    }
}
