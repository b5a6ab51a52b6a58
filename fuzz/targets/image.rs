//! A JPEG, PNG, WebP, BMP or GIF file of at most a megabyte of pixels, and the square in its middle.

#![no_main]

use sd_image::{Bounds, Resizer, decode, fit};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = decode(bytes, Bounds { bytes: 1 << 20, side: 65_535, pixels: 1 << 20 }) {
        assert!(image.width() > 0 && image.height() > 0);
        fit(&image.into_rgb8(), 5, 4, &mut Resizer::new(), &mut [0; 48]);
    }
});
