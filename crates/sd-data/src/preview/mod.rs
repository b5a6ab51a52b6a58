//! A picture of training images and what augmentation makes of them (cargo feature `preview`).

mod sheet;

use crate::{Batch, Data, DataConfig, Error, Loader, LoaderConfig, Normalization, Result};
use image::RgbImage;
use sheet::{Row, Sheet};
use std::sync::Arc;

/// How much a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewConfig {
    /// Rows: training images, of as many classes as there are, evenly from all over the set.
    pub images: usize,
    /// Augmented versions beside each image, one an epoch.
    pub versions: usize,
    /// What the augmentation is drawn from.
    pub seed: u64,
}

/// A picture of some training images of `data`, which `config` opened: a row for each, with the
/// name of its class, the image as it is and its augmented versions. They are what the loader
/// makes for a network, with the normalisation undone: what is erased has the mean's colour.
///
/// # Errors
/// When `config` asks for no image or no version, or the loader refuses the configuration.
pub fn preview(data: &Data, config: &DataConfig, preview: PreviewConfig) -> Result<RgbImage> {
    for (name, value) in [("images", preview.images), ("versions", preview.versions)] {
        if !(1..=100).contains(&value) {
            return Err(Error::value(name, value, "1 to 100"));
        }
    }
    let some = Arc::new(data.train.class_by_class(preview.images));
    let loader = Loader::new(
        Arc::clone(&some),
        LoaderConfig {
            seed: preview.seed,
            augment: config.augment.clone(),
            ..LoaderConfig::in_order(some.len(), 1, data.normalization.clone())
        },
    )?;
    let epochs = (0..preview.versions as u64).flat_map(|epoch| loader.epoch(epoch, 0));
    let versions: Vec<Vec<u8>> = epochs.map(|batch| bytes(&batch, &data.normalization)).collect();

    let shape = some.shape();
    let values = shape.values();
    let mut titles = vec!["original".to_owned()];
    titles.extend((1..=preview.versions).map(|version| format!("augmented {version}")));
    let rows = (0..some.len()).map(|row| {
        let augmented = versions.iter().map(|all| &all[row * values..(row + 1) * values]);
        Row {
            title: some.class_names()[some.label(row)].clone(),
            note: some.file(row).unwrap_or_default().to_owned(),
            images: std::iter::once(some.image(row))
                .chain(augmented)
                .map(|pixels| shape.picture(pixels))
                .collect(),
        }
    });
    Ok(Sheet { titles, rows: rows.collect() }.draw())
}

/// The pixels of a batch before normalisation, `[N, H, W, C]`.
fn bytes(batch: &Batch, normalization: &Normalization) -> Vec<u8> {
    let Normalization { mean, deviation } = normalization;
    let of_channel = mean.iter().zip(deviation).cycle();
    let byte = |(value, (mean, deviation)): (&f32, (&f32, &f32))| {
        // `as` saturates.
        ((value * deviation + mean) * 255.0).round() as u8
    };
    batch.pixels.iter().zip(of_channel).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AugmentConfig;
    use std::path::Path;

    fn config(augment: Vec<AugmentConfig>) -> DataConfig {
        let config: DataConfig = toml::from_str(
            "dataset = { synthetic = { classes = 5, train = 50, test = 5, channels = 3, \
             height = 32, width = 32, seed = 1 } }",
        )
        .unwrap();
        DataConfig { augment, ..config }
    }

    #[test]
    fn undoes_the_normalisation() {
        let config = config(Vec::new());
        let data = config.open(Path::new("nowhere")).unwrap();
        let normalization = data.normalization.clone();
        let loader = Loader::new(
            Arc::clone(&data.train),
            LoaderConfig::in_order(50, 1, normalization.clone()),
        )
        .unwrap();
        let batch = loader.epoch(0, 0).next().unwrap();
        assert_eq!(bytes(&batch, &normalization), data.train.pixels());
    }

    #[test]
    fn the_original_stands_beside_what_becomes_of_it() {
        let mirror = AugmentConfig::Flip(crate::FlipConfig { probability: 1.0 });
        let config = config(vec![mirror]);
        let data = config.open(Path::new("nowhere")).unwrap();
        let picture =
            preview(&data, &config, PreviewConfig { images: 2, versions: 3, seed: 0 }).unwrap();
        // Somewhere in the picture is the first image, magnified, and its mirror image beside it.
        let original = data.train.shape().picture(data.train.image(0));
        let mirrored = image::imageops::flip_horizontal(&original);
        let shown = |image: &RgbImage, left: u32, top: u32| {
            image.enumerate_pixels().all(|(x, y, pixel)| {
                picture.get_pixel_checked(left + 3 * x, top + 3 * y) == Some(pixel)
            })
        };
        let places: Vec<(u32, u32)> = (0..picture.height())
            .flat_map(|top| (0..picture.width()).map(move |left| (left, top)))
            .filter(|&(left, top)| shown(&original, left, top))
            .collect();
        let &(left, top) = places.first().expect("the original is shown");
        let beside = (left + 96..left + 140).filter(|&left| shown(&mirrored, left, top)).count();
        assert!(beside > 0);
    }

    #[test]
    fn no_image_is_no_picture() {
        let config = config(Vec::new());
        let data = config.open(Path::new("nowhere")).unwrap();
        let error = preview(&data, &config, PreviewConfig { images: 0, versions: 1, seed: 0 });
        assert_eq!(error.unwrap_err().to_string(), "`images` is 0, expected 1 to 100");
    }
}
