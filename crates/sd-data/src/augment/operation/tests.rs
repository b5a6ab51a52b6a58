//! Comparison with torchvision's results from `scripts/golden/augment.py`. They agree bit for bit, so
//! checksums suffice.

use super::{Kind, Operation, Pixels, Space};
use crate::ImageShape;
use crate::augment::auto_augment::{AutoAugmentPolicy, BINS};
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Golden {
    fill: u8,
    images: HashMap<String, Picture>,
    scales: Vec<Scale>,
    policies: Vec<Pair>,
    operations: Vec<Single>,
}

#[derive(Deserialize)]
struct Picture {
    /// Height, width, channels.
    shape: [usize; 3],
    pixels: String,
}

/// An operation at some magnitudes of a scale.
#[derive(Deserialize)]
struct Scale {
    image: String,
    space: String,
    bins: usize,
    kind: String,
    /// A bin, and the checksums of the results in both directions.
    checksums: Vec<(usize, u32, u32)>,
}

/// A pair of operations of a policy, both applied.
#[derive(Deserialize)]
struct Pair {
    policy: AutoAugmentPolicy,
    pair: usize,
    probabilities: [f64; 2],
    checksums: [u32; 2],
}

/// An operation at a given magnitude.
#[derive(Deserialize)]
struct Single {
    image: String,
    operation: String,
    amount: f64,
    checksum: u32,
    /// Given for small images.
    pixels: Option<String>,
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let (pairs, _) = hexadecimal.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn checksum(pixels: &Pixels) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(pixels.values());
    crc.sum()
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("../../../tests/golden/augment.json")).unwrap()
    }

    fn image(&self, name: &str) -> Pixels {
        let Picture { shape: [height, width, channels], pixels } = &self.images[name];
        let mut image = Pixels::new(ImageShape::new(*channels, *height, *width));
        image.fill_with(|_, target| target.copy_from_slice(&bytes(pixels)));
        image
    }
}

/// Collects all differences for the failure message.
#[derive(Default)]
struct Differences {
    compared: usize,
    different: Vec<String>,
}

impl Differences {
    fn compare(&mut self, found: u32, expected: u32, what: impl FnOnce() -> String) {
        self.compared += 1;
        if found != expected {
            self.different.push(what());
        }
    }

    #[track_caller]
    fn none_of(self, compared: usize) {
        let Self { compared: found, different } = self;
        assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
        assert!(found >= compared, "only {found} were compared");
    }
}

#[test]
fn magnitude_scales_match_torchvision() {
    let golden = Golden::read();
    let mut differences = Differences::default();
    for case in &golden.scales {
        let kind = Kind::RANDOM.into_iter().chain([Kind::Invert]);
        let kind = kind.into_iter().find(|kind| format!("{kind:?}") == case.kind).unwrap();
        for &(bin, positive, negative) in &case.checksums {
            for (negative, expected) in [(false, positive), (true, negative)] {
                let mut pixels = golden.image(&case.image);
                let space = match case.space.as_str() {
                    "auto" => Space::auto(pixels.shape(), case.bins),
                    _ => Space::wide(case.bins),
                };
                let operation = space.operation(kind, bin, negative);
                operation.apply(&mut pixels, golden.fill);
                differences.compare(checksum(&pixels), expected, || {
                    format!("{}: {operation:?}, {} {bin}/{}", case.image, case.space, case.bins)
                });
            }
        }
    }
    differences.none_of(3600);
}

#[test]
fn policies_match_torchvision() {
    let golden = Golden::read();
    let mut differences = Differences::default();
    for case in &golden.policies {
        let pair = case.policy.pairs()[case.pair];
        assert_eq!(pair.map(|(_, probability, _)| probability), case.probabilities);
        for (negative, &expected) in [false, true].into_iter().zip(&case.checksums) {
            let mut pixels = golden.image("cifar");
            let space = Space::auto(pixels.shape(), BINS);
            for (kind, _, bin) in pair {
                space.operation(kind, bin, negative).apply(&mut pixels, golden.fill);
            }
            differences.compare(checksum(&pixels), expected, || format!("{pair:?}"));
        }
    }
    differences.none_of(100);
}

#[test]
fn operations_match_torchvision() {
    let golden = Golden::read();
    let mut differences = Differences::default();
    for case in &golden.operations {
        let Single { amount, .. } = *case;
        let operation = match case.operation.as_str() {
            "Brightness" => Operation::Brightness(amount as f32),
            "Contrast" => Operation::Contrast(amount as f32),
            "Color" => Operation::Color(amount as f32),
            "Sharpness" => Operation::Sharpness(amount as f32),
            "Hue" => Operation::Hue(amount),
            "Solarize" => Operation::Solarize(amount),
            "Posterize" => Operation::Posterize(amount as u32),
            "Rotate" => Operation::Rotate(amount),
            other => panic!("{other} is not an operation"),
        };
        let mut pixels = golden.image(&case.image);
        operation.apply(&mut pixels, golden.fill);
        if let Some(expected) = &case.pixels {
            assert_eq!(pixels.values(), bytes(expected), "{}: {operation:?}", case.image);
        }
        let what = || format!("{}: {operation:?}", case.image);
        differences.compare(checksum(&pixels), case.checksum, what);
    }
    differences.none_of(400);
}
