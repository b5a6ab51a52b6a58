//! Synthetic images, for tests, benchmarks and first steps.

use super::{Dataset, Splits};
use crate::random::{self, Stream};
use crate::{Error, ImageSet, ImageShape, Result, memory};
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use sd_variants::Examples;
use serde::{Deserialize, Serialize};
use std::f32::consts::TAU;
use std::path::Path;

/// Amplitudes of a class's pattern and of the noise, around mid-grey.
const PATTERN: f32 = 56.0;
const NOISE: f32 = 64.0;

/// Synthetic images: a sine wave per class, with its own direction, length and colour, plus noise
/// per image. A small network learns them in an epoch or two.
///
/// Image `i` is of class `i mod classes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Number of classes.
    pub classes: usize,
    /// Number of training images.
    pub train: usize,
    /// Number of test images, with noise of their own.
    pub test: usize,
    /// Channels.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Seed of the patterns and the noise.
    pub seed: u64,
}

impl Dataset for SyntheticConfig {
    fn name(&self) -> String {
        "synthetic".to_owned()
    }

    fn input(&self) -> (ImageShape, usize) {
        (self.shape(), self.classes)
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("classes", self.classes),
            ("train", self.train),
            ("test", self.test),
            ("channels", self.channels),
            ("height", self.height),
            ("width", self.width),
        ] {
            if value == 0 {
                let key = format!("data.dataset.synthetic.{name}");
                return Err(Error::value(key, 0, "at least 1"));
            }
        }
        // A typing error must not exhaust the machine's memory.
        const LIMIT: usize = 1 << 32;
        let bytes = self.train.max(self.test).saturating_mul(self.shape().values());
        let patterns = self.classes.saturating_mul(self.shape().values());
        if bytes.max(patterns) > LIMIT {
            let size = format!(
                "{} classes, {} + {} images of {}×{}×{}",
                self.classes, self.train, self.test, self.channels, self.height, self.width
            );
            let expected = format!("at most {LIMIT} values per split");
            return Err(Error::value("data.dataset.synthetic", size, expected));
        }
        Ok(())
    }

    fn load(&self, _: &Path) -> Result<Splits> {
        self.check()?;
        let images = self.train + self.test;
        let bytes = images.saturating_mul(self.shape().values());
        memory::require(bytes, format!("{images} synthetic images"), "use fewer or smaller ones")?;
        let patterns: Vec<Vec<f32>> = (0..self.classes).map(|class| self.pattern(class)).collect();
        let train = self.split(&patterns, 0, self.train)?;
        let test = self.split(&patterns, 1, self.test)?;
        Ok(Splits::new(train, test))
    }
}

impl Examples for SyntheticConfig {
    fn examples() -> Vec<Self> {
        let (classes, train, test) = (10, 640, 100);
        vec![Self { classes, train, test, channels: 3, height: 32, width: 32, seed: 0 }]
    }
}

impl SyntheticConfig {
    fn shape(&self) -> ImageShape {
        ImageShape::new(self.channels, self.height, self.width)
    }

    /// The mean image of a class, `[H, W, C]`, around zero.
    fn pattern(&self, class: usize) -> Vec<f32> {
        let mut random = random::named(b"pattern\0", [self.seed, class as u64, 0]);
        let mut between = |low: f32, high: f32| low + (high - low) * random.random::<f32>();
        let (across, down) = (between(-3.0, 3.0), between(0.5, 3.0));
        let phases: Vec<f32> = (0..self.channels).map(|_| between(0.0, TAU)).collect();
        let mut pattern = Vec::with_capacity(self.shape().values());
        for y in 0..self.height {
            for x in 0..self.width {
                let turns =
                    across * x as f32 / self.width as f32 + down * y as f32 / self.height as f32;
                pattern.extend(phases.iter().map(|phase| PATTERN * (TAU * turns + phase).sin()));
            }
        }
        pattern
    }

    fn split(&self, patterns: &[Vec<f32>], split: u64, count: usize) -> Result<ImageSet> {
        let mut pixels = Vec::with_capacity(count * self.shape().values());
        let labels: Vec<usize> = (0..count).map(|index| index % self.classes).collect();
        let mut noise = vec![0; self.shape().values()];
        for (index, &label) in labels.iter().enumerate() {
            let mut random: Stream =
                random::named(b"noise\0\0\0", [self.seed, split, index as u64]);
            random.fill_bytes(&mut noise);
            pixels.extend(patterns[label].iter().zip(&noise).map(|(pattern, &noise)| {
                let noise = (f32::from(noise) / 127.5 - 1.0) * NOISE;
                // `as` saturates, but the sum stays within 8..=248 by the constants above.
                (128.0 + pattern + noise) as u8
            }));
        }
        let names = (0..self.classes).map(|class| format!("pattern {class}")).collect();
        ImageSet::new(self.shape(), pixels, labels, names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(config: &SyntheticConfig) -> Result<Splits> {
        config.load(Path::new("nowhere"))
    }

    fn config() -> SyntheticConfig {
        SyntheticConfig {
            classes: 4,
            train: 40,
            test: 20,
            channels: 3,
            height: 8,
            width: 6,
            seed: 3,
        }
    }

    #[test]
    fn images_depend_on_the_seed_and_the_split() {
        let both = load(&config()).unwrap();
        assert_eq!(both, load(&config()).unwrap());
        assert_ne!(both.train, load(&SyntheticConfig { seed: 4, ..config() }).unwrap().train);
        let test = both.test.unwrap();
        assert_ne!(both.train.image(0).unwrap(), test.image(0).unwrap());
        assert_eq!((both.train.len(), test.len()), (40, 20));
        assert_eq!(test.labels()[..5], [0, 1, 2, 3, 0]);
    }

    /// Nearest-mean classification is exact.
    #[test]
    fn classes_are_separable() {
        let Splits { train, test, .. } = load(&config()).unwrap();
        let test = test.unwrap();
        let values = train.shape().values();
        let mut means = vec![vec![0.0_f32; values]; 4];
        for index in 0..train.len() {
            for (mean, &value) in
                means[train.label(index)].iter_mut().zip(&*train.image(index).unwrap())
            {
                *mean += f32::from(value) / 10.0;
            }
        }
        let distance = |mean: &[f32], image: &[u8]| -> f32 {
            mean.iter().zip(image).map(|(mean, &value)| (mean - f32::from(value)).powi(2)).sum()
        };
        for index in 0..test.len() {
            let nearest = (0..4).min_by(|&a, &b| {
                distance(&means[a], &test.image(index).unwrap())
                    .total_cmp(&distance(&means[b], &test.image(index).unwrap()))
            });
            assert_eq!(nearest, Some(test.label(index)));
        }
    }

    #[test]
    fn values_out_of_range_are_rejected() {
        let error = load(&SyntheticConfig { height: 0, ..config() }).unwrap_err();
        assert_eq!(error.to_string(), "`data.dataset.synthetic.height` is 0, expected at least 1");
        let error = load(&SyntheticConfig { train: 1 << 40, ..config() }).unwrap_err();
        assert!(error.to_string().contains("1099511627776 + 20 images of 3×8×6"), "{error}");
        let error = load(&SyntheticConfig { height: usize::MAX, ..config() }).unwrap_err();
        assert!(error.to_string().contains("at most 4294967296 values"), "{error}");
    }
}
