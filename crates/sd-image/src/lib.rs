//! Decoding, resizing and cropping of image files to the input size of a network.
//!
//! ```
//! use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
//! use sd_image::{Bounds, Resizer, decode, fit};
//!
//! let mut file = std::io::Cursor::new(Vec::new());
//! let photograph = DynamicImage::from(RgbImage::from_pixel(60, 40, Rgb([9, 8, 7])));
//! photograph.write_to(&mut file, ImageFormat::Png)?;
//!
//! let bounds = Bounds { bytes: 1 << 20, side: 65_535, pixels: 1 << 18 };
//! let image = decode(file.get_ref(), bounds)?.into_rgb8();
//! // Resizes the shorter side to 32 pixels and crops the central 28×28.
//! let mut square = [0; 3 * 28 * 28];
//! fit(&image, 32, 28, &mut Resizer::new(), &mut square);
//! assert_eq!(square[..3], [9, 8, 7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Training (`sd-data`) and inference (`sd-infer`) share these two steps, and so get the same bits:
//! [`decode`] turns the bytes of a JPEG, PNG, WebP, BMP or GIF file into an upright image, and [`fit`]
//! resizes and crops it.

mod decode;
mod error;
mod fit;
mod stretch;

pub use decode::{Bounds, EXTENSIONS, decode, decode_rgb};
pub use error::{Error, Result};
pub use fast_image_resize::Resizer;
pub use fit::{fit, fit_pixels, shrink};
pub use stretch::stretch;
