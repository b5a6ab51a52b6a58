//! Training images beside their augmented versions, as an HTML page (cargo feature `preview`).

use crate::{
    Batch, Data, DataConfig, Error, ImageShape, Loader, LoaderConfig, Normalization, Result, memory,
};
use askama::Template;
use base64::prelude::{BASE64_STANDARD, Engine};
use image::ImageFormat;
use std::io::Cursor;
use std::sync::Arc;

/// The size of a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewConfig {
    /// Training images, 1 to 100, spread evenly over the classes and the set.
    pub images: usize,
    /// Augmented versions of each image, 1 to 100, one per epoch.
    pub versions: usize,
    /// The seed of the augmentation.
    pub seed: u64,
}

impl PreviewConfig {
    /// Checks the numbers, and the memory for the page, without reading a file.
    ///
    /// # Errors
    /// If a number is out of range, or the memory is not enough.
    pub fn check(&self, config: &DataConfig) -> Result<()> {
        for (name, value) in [("images", self.images), ("versions", self.versions)] {
            if !(1..=100).contains(&value) {
                return Err(Error::value(name, value, "1 to 100"));
            }
        }
        let (shape, _) = config.input();
        let pictures = self.images * (self.versions + 1);
        // RGB in base64, once in the rows and once in the page, if PNG does not shrink it.
        let picture = (8 * shape.height).saturating_mul(shape.width);
        // The loader's batches: one in use, two ahead.
        let batches = (3 * 4 * self.images).saturating_mul(shape.values());
        memory::require(
            picture.saturating_mul(pictures).saturating_add(batches),
            format!("{pictures} pictures of {shape}"),
            "ask for fewer images or versions",
        )
    }
}

/// A page that needs no other file, no network and no script.
#[derive(Template)]
#[template(path = "preview.html")]
struct Page<'a> {
    dataset: String,
    shape: ImageShape,
    seed: u64,
    /// The augmentations as TOML, in order.
    augment: Vec<String>,
    /// Width of an image on the page, in CSS pixels.
    width: usize,
    rows: Vec<Row<'a>>,
}

/// An image and its augmented versions, each a `data:` URL.
struct Row<'a> {
    class: &'a str,
    file: Option<&'a str>,
    original: String,
    augmented: Vec<String>,
}

/// An HTML page of some training images of `data`, opened by `config`: class, file, original and
/// augmented versions of each. The versions are what the loader feeds to a network, with the
/// normalisation undone, so that erased areas have the mean colour.
///
/// # Errors
/// If `preview` has a number out of range, or the loader refuses the configuration.
pub fn preview(data: &Data, config: &DataConfig, preview: PreviewConfig) -> Result<String> {
    preview.check(config)?;
    let set = Arc::new(data.train.class_by_class(preview.images));
    let loader = Loader::new(
        Arc::clone(&set),
        LoaderConfig {
            seed: preview.seed,
            augment: config.augment.clone(),
            ..LoaderConfig::in_order(set.len(), 1, data.normalization.clone())
        },
    )?;
    let shape = set.shape();
    let row = |index| {
        Ok(Row {
            class: &set.class_names()[set.label(index)],
            file: set.file(index),
            original: data_url(shape, &set.image(index)?),
            augmented: Vec::new(),
        })
    };
    let mut rows = (0..set.len()).map(row).collect::<Result<Vec<Row>>>()?;
    for batch in (0..preview.versions as u64).flat_map(|epoch| loader.epoch(epoch, 0)) {
        let version = bytes(&batch?, &data.normalization);
        for (row, image) in rows.iter_mut().zip(version.chunks_exact(shape.values())) {
            row.augmented.push(data_url(shape, image));
        }
    }
    let toml =
        |augment| toml::Value::try_from(augment).expect("a configuration is TOML").to_string();
    let page = Page {
        dataset: config.dataset.get().name(),
        shape,
        seed: preview.seed,
        augment: config.augment.iter().map(toml).collect(),
        width: display_width(shape),
        rows,
    };
    Ok(page.render().expect("writing to memory succeeds"))
}

/// Magnifies small images by a whole factor to at least 96 pixels, and shows large ones at most 320
/// pixels wide.
fn display_width(shape: ImageShape) -> usize {
    (shape.width * 96_usize.div_ceil(shape.width.max(shape.height))).min(320)
}

/// An image, `[H, W, C]`, as a PNG in a `data:` URL.
fn data_url(shape: ImageShape, pixels: &[u8]) -> String {
    let mut png = Cursor::new(Vec::new());
    shape.picture(pixels).write_to(&mut png, ImageFormat::Png).expect("writing to memory succeeds");
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.get_ref()))
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
    use crate::{AugmentConfig, FlipConfig, ImageSet};
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
        let batch = loader.epoch(0, 0).next().unwrap().unwrap();
        assert_eq!(bytes(&batch, &normalization), data.train.pixels().unwrap());
    }

    #[test]
    fn the_original_stands_beside_its_augmented_versions() {
        let mirror = AugmentConfig::Flip(FlipConfig { probability: 1.0 });
        let config = config(vec![mirror]);
        let data = config.open(Path::new("nowhere")).unwrap();
        let page =
            preview(&data, &config, PreviewConfig { images: 2, versions: 3, seed: 0 }).unwrap();
        let shape = data.train.shape();
        let original = shape.picture(&data.train.image(0).unwrap());
        let mirrored = image::imageops::flip_horizontal(&original);
        let sources: Vec<&str> =
            page.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(sources.len(), 2 * (1 + 3));
        assert_eq!(sources[0], data_url(shape, &original));
        assert!(sources[1..4].iter().all(|source| *source == data_url(shape, &mirrored)));
        for text in ["pattern 0", "pattern 2", "{ flip = { probability = 1.0 } }"] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let config = config(Vec::new());
        let mut data = config.open(Path::new("nowhere")).unwrap();
        let names = (0..5).map(|class| format!("<b>{class}")).collect();
        let (shape, labels) = (data.train.shape(), data.train.labels().to_vec());
        let pixels = data.train.pixels().unwrap();
        data.train = Arc::new(ImageSet::new(shape, pixels, labels, names).unwrap());
        let page =
            preview(&data, &config, PreviewConfig { images: 1, versions: 1, seed: 0 }).unwrap();
        assert!(page.contains("&#60;b&#62;0") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn small_images_are_magnified() {
        let width = |height, width| display_width(ImageShape::new(3, height, width));
        assert_eq!((width(32, 32), width(28, 28), width(112, 112)), (96, 112, 112));
        assert_eq!((width(4, 20), width(1000, 1000)), (100, 320));
    }

    #[test]
    fn a_page_beyond_the_memory_is_refused_before_reading() {
        let config = toml::from_str(
            "dataset = { image_folder = { folder = 'none', classes = 2, images = { side = 4096 } } }",
        );
        let size = PreviewConfig { images: 100, versions: 100, seed: 0 };
        let message = size.check(&config.unwrap()).unwrap_err().to_string();
        assert!(message.starts_with("10100 pictures of 3×4096×4096 need 1"), "{message}");
        assert!(message.ends_with("ask for fewer images or versions"), "{message}");
    }

    #[test]
    fn no_image_is_an_error() {
        let config = config(Vec::new());
        let data = config.open(Path::new("nowhere")).unwrap();
        let error = preview(&data, &config, PreviewConfig { images: 0, versions: 1, seed: 0 });
        assert_eq!(error.unwrap_err().to_string(), "`images` is 0, expected 1 to 100");
    }
}
