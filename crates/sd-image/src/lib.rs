//! Image files as the square images of one size that networks are trained on.
//!
//! What is trained (`sd-data`) and what is classified later (`sd-infer`) go through the same two
//! steps, and come out with the same bits: [`decode`] turns the bytes of a JPEG, PNG or WebP file
//! into an upright image, and [`fit`] writes the middle of it, at the size of the network's images.
//!
//! ```
//! use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
//! use sd_image::{Bounds, Resizer, decode, fit};
//!
//! let mut file = std::io::Cursor::new(Vec::new());
//! let photograph = DynamicImage::from(RgbImage::from_pixel(60, 40, Rgb([9, 8, 7])));
//! photograph.write_to(&mut file, ImageFormat::Png)?;
//!
//! let image = decode(file.get_ref(), Bounds { bytes: 1 << 20, side: 65_535 })?.into_rgb8();
//! // The shorter side becomes 32 pixels, and of that the middle 28×28 are taken.
//! let mut square = [0; 3 * 28 * 28];
//! fit(&image, 32, 28, &mut Resizer::new(), &mut square);
//! assert_eq!(square[..3], [9, 8, 7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod error;
mod fit;

pub use decode::{Bounds, decode};
pub use error::{Error, Result};
pub use fast_image_resize::Resizer;
pub use fit::fit;
