//! The `[data]` section of an experiment, and the data it opens.

use crate::augment::check_all;
use crate::check::ClassCounts;
use crate::hold_back::{HoldBackConfig, hold_back};
use crate::split::Split;
use crate::{
    AugmentConfig, DatasetConfig, Error, ImageSet, ImageShape, Normalization, NormalizeConfig,
    Purpose, Result, Splits, memory,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use tracing::info;

/// The `[data]` section of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Data set.
    pub dataset: DatasetConfig,
    /// Black border added to every image of all splits, in pixels per side: 2 turns MNIST's 28×28
    /// into 32×32.
    #[serde(default)]
    pub pad: usize,
    /// Training images held back for validation, if any. An error if the data set has its own
    /// validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<HoldBackConfig>,
    /// Training images held back for testing, if any, before those for validation. An error if the
    /// data set has its own test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<HoldBackConfig>,
    /// Random changes to training images, in order.
    #[serde(default)]
    pub augment: Vec<AugmentConfig>,
    /// Mean and standard deviation; measured by default.
    #[serde(default)]
    pub normalize: NormalizeConfig,
}

/// The images of an experiment, ready for a [`Loader`](crate::Loader).
#[derive(Clone, Debug)]
pub struct Data {
    /// Training images.
    pub train: Arc<ImageSet>,
    /// Validation images: the data set's own, or those held back from training.
    pub valid: Option<Arc<ImageSet>>,
    /// Test images, if the data set has any.
    pub test: Option<Arc<ImageSet>>,
    /// Normalisation of all splits; if measured, on `train` alone.
    pub normalization: Normalization,
}

/// Largest border in pixels, beyond any image this crate is for.
const MAX_PAD: usize = 256;
/// Most classes and largest side, beyond any data set this crate is for.
const MAX_CLASSES: usize = 1 << 20;
const MAX_SIDE: usize = 1 << 16;

impl DataConfig {
    /// The network's input shape and the number of classes, without reading a file.
    pub fn input(&self) -> (ImageShape, usize) {
        let (shape, classes) = self.dataset.get().input();
        (shape.padded(self.pad), classes)
    }

    /// Checks everything that needs no file.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn check(&self) -> Result<()> {
        self.dataset.get().check()?;
        if self.pad > MAX_PAD {
            return Err(Error::value("data.pad", self.pad, format!("at most {MAX_PAD}")));
        }
        for (share, split) in [(&self.validation, Split::Valid), (&self.test, Split::Test)] {
            share.as_ref().map_or(Ok(()), |share| share.check(split))?;
        }
        let (shape, classes) = self.input();
        let sizes = [
            ("classes", classes, MAX_CLASSES),
            ("channels", shape.channels, MAX_SIDE),
            ("height", shape.height, MAX_SIDE),
            ("width", shape.width, MAX_SIDE),
        ];
        for (size, found, most) in sizes {
            if found == 0 || found > most {
                let found = format!("{size} {found} including the border");
                return Err(Error::value("data.dataset", found, format!("1 to {most}")));
            }
        }
        if let NormalizeConfig::Given(given) = &self.normalize {
            given.check(shape.channels)?;
        }
        check_all(&self.augment, shape)
    }

    /// Reads the data set from `data_dir`, holds back validation and test images, adds the border
    /// and measures the normalisation.
    ///
    /// # Errors
    /// If a number is out of range, the data set cannot be read (see
    /// [`Dataset::load`](crate::Dataset::load)), or as for [`hold_back`](Self::hold_back) and
    /// [`prepare`](Self::prepare).
    pub fn open(&self, data_dir: &Path) -> Result<Data> {
        self.check()?;
        let mut splits = self.load(data_dir)?;
        self.hold_back(&mut splits)?;
        self.prepare(splits)
    }

    /// Reads the data set, with what the augmentation needs of it: image files are cropped at their own
    /// size if the first augmentation is `random_resized_crop` and there is no border.
    ///
    /// # Errors
    /// See [`Dataset::load`](crate::Dataset::load).
    pub fn load(&self, data_dir: &Path) -> Result<Splits> {
        let purpose = if self.crops_originals() { Purpose::Crops } else { Purpose::Fitted };
        self.dataset.get().load_for(data_dir, purpose)
    }

    /// Whether training images are cropped before they are resized.
    pub(crate) fn crops_originals(&self) -> bool {
        let first = self.augment.first();
        self.pad == 0 && first.is_some_and(|first| first.get().crops_the_original())
    }

    /// Moves the shares that [`validation`](Self::validation) and [`test`](Self::test) hold back out of
    /// the training images. Changes nothing if it fails.
    ///
    /// # Errors
    /// If the data set has its own images of such a split, or no image would be held back.
    pub fn hold_back(&self, splits: &mut Splits) -> Result<()> {
        hold_back(splits, self.validation.as_ref(), self.test.as_ref())
    }

    /// Adds the border and measures the normalisation, after [`hold_back`](Self::hold_back).
    ///
    /// # Errors
    /// If there is an empty split, a class without training images, neither a validation nor a test
    /// split, or a constant channel.
    pub fn prepare(&self, mut splits: Splits) -> Result<Data> {
        require_images(&splits)?;
        for (split, set) in splits.named() {
            info!("{split}: {} images, {}", set.len(), ClassCounts::of(set));
        }
        if self.pad > 0 {
            require_memory_for_border(&splits, self.pad)?;
            let padded = |set: ImageSet| set.padded(self.pad);
            splits.train = padded(splits.train)?;
            splits.valid = splits.valid.map(padded).transpose()?;
            splits.test = splits.test.map(padded).transpose()?;
        }
        let Splits { train, valid, test, .. } = splits;
        let normalization = self.normalize.resolve(&train)?;
        let (valid, test) = (valid.map(Arc::new), test.map(Arc::new));
        Ok(Data { train: Arc::new(train), valid, test, normalization })
    }
}

/// Checks that the machine has the memory for the copies of images with a border.
fn require_memory_for_border(splits: &Splits, border: usize) -> Result<()> {
    let copied = splits.named().filter(|(_, set)| set.is_resident());
    let images = copied.map(|(_, set)| set.len()).sum::<usize>();
    let padded = splits.train.shape().padded(border);
    let bytes = images.saturating_mul(padded.values());
    memory::require(bytes, format!("{images} images of {padded}"), "use a smaller `data.pad`")
}

/// Checks that every split has images, every class training images, and that something besides the
/// training images measures the network.
fn require_images(splits: &Splits) -> Result<()> {
    for (split, set) in splits.named() {
        if set.is_empty() {
            return Err(Error::split(split, "no images", "at least one"));
        }
    }
    let train = &splits.train;
    let counts = train.of_class();
    let absent: Vec<String> = counts
        .iter()
        .zip(train.class_names())
        .filter(|(count, _)| **count == 0)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    if !absent.is_empty() {
        const NAMED: usize = 20;
        let more = if absent.len() > NAMED { ", …" } else { "" };
        let names = absent[..absent.len().min(NAMED)].join(", ");
        let found =
            format!("no images of {} of {} classes: {names}{more}", absent.len(), counts.len());
        return Err(Error::split(Split::Train, found, "at least one image of each class"));
    }
    if splits.valid.is_none() && splits.test.is_none() {
        let expected = "a share of the training images, such as `{ fraction = 0.1, seed = 0 }`: \
                        the data set has neither validation nor test images";
        return Err(Error::value("data.validation", "unset", expected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Picture, Reader, Source, View};

    const TEXT: &str = "
        dataset = { synthetic = { classes = 5, train = 100, test = 20, channels = 1, height = 8, width = 8, seed = 1 } }
        pad = 2
        validation = { fraction = 0.1, seed = 9 }
        augment = [{ pad_crop = { padding = 2 } }, { flip = {} }]
        normalize = 'measured'
    ";

    fn config() -> DataConfig {
        toml::from_str(TEXT).unwrap()
    }

    #[test]
    fn excessive_sizes_are_rejected() {
        let check = |dataset: &str, pad: usize| {
            let text = format!("dataset = {{ {dataset} }}\npad = {pad}");
            toml::from_str::<DataConfig>(&text).unwrap().check().map_err(|error| error.to_string())
        };
        let idx = |classes: u64, height: u64| {
            format!("idx = {{ folder = 'a', classes = {classes}, height = {height} }}")
        };
        assert_eq!(check(&idx(10, 1 << 16), 0), Ok(()));
        let tall = check(&idx(10, 1 << 16), 1).unwrap_err();
        assert!(tall.contains("height 65538 including the border, expected 1 to 65536"), "{tall}");
        let folder = |classes: u64| {
            format!(
                "image_folder = {{ folder = 'a', classes = {classes}, images = {{ side = 8 }} }}"
            )
        };
        let many = check(&folder(1 << 40), 0).unwrap_err();
        assert!(many.contains("classes 1099511627776"), "{many}");
        assert!(check(&folder(0), 0).unwrap_err().contains("classes 0"));
    }

    #[test]
    fn opened_data_has_the_declared_input_shape() {
        let config = config();
        let data = config.open(Path::new("nowhere")).unwrap();
        let (valid, test) = (data.valid.unwrap(), data.test.unwrap());
        assert_eq!((data.train.len(), valid.len(), test.len()), (90, 10, 20));
        for set in [&data.train, &valid, &test] {
            assert_eq!((set.shape(), set.classes()), config.input());
            assert_eq!(set.shape(), ImageShape::new(1, 12, 12));
        }
        assert_eq!(data.normalization, Normalization::measure(&data.train).unwrap());
    }

    #[test]
    fn a_border_beyond_the_memory_is_refused() {
        let set = |images: usize| {
            let (labels, names) = (vec![0; images], vec!["only".to_owned()]);
            ImageSet::new(ImageShape::new(1, 1, 1), vec![7; images], labels, names).unwrap()
        };
        let (train, test) = (set(4_000_000), Some(set(1)));
        let splits = Splits { train, valid: None, test, skipped: Vec::new() };
        let error = DataConfig { pad: 256, ..config() }.prepare(splits).unwrap_err().to_string();
        assert!(error.starts_with("4000001 images of 1×513×513 need 1052.7 GB"), "{error}");
        assert!(error.ends_with("; use a smaller `data.pad`"), "{error}");
    }

    /// Images of a mapped file.
    #[derive(Debug)]
    struct Mapped;

    impl Source for Mapped {
        fn read<'a>(&'a self, _: usize, _: View, _: &'a mut Reader) -> Result<Picture<'a>> {
            Ok(Picture::new(&[7], ImageShape::new(1, 1, 1)))
        }
    }

    #[test]
    fn images_of_a_mapped_file_are_not_copied_for_a_border() {
        let set = |images: usize| {
            let (labels, names) = (vec![0; images], vec!["only".to_owned()]);
            ImageSet::of_source(ImageShape::new(1, 1, 1), Arc::new(Mapped), labels, names).unwrap()
        };
        let (train, test) = (set(4_000_000), Some(set(1)));
        let splits = Splits { train, valid: None, test, skipped: Vec::new() };
        let (mean, deviation) = (vec![0.5], vec![0.5]);
        let normalize = NormalizeConfig::Given(crate::GivenNormalization { mean, deviation });
        let data = DataConfig { pad: 256, normalize, ..config() }.prepare(splits).unwrap();
        assert!(data.train.is_in_memory() && !data.train.is_resident());
        let image = data.train.image(0).unwrap();
        assert_eq!((image.len(), image[256 * 513 + 256], image[0]), (513 * 513, 7, 0));
    }

    #[test]
    fn what_the_run_needs_is_required_before_it() {
        let set = |labels: &[usize]| {
            let names = ["cat", "dog", "eel"].map(str::to_owned).to_vec();
            let pixels = (0..labels.len() as u8).collect();
            ImageSet::new(ImageShape::new(1, 1, 1), pixels, labels.to_vec(), names).unwrap()
        };
        let splits = |train: &[usize], valid: Option<&[usize]>, test: Option<&[usize]>| Splits {
            train: set(train),
            valid: valid.map(set),
            test: test.map(set),
            skipped: Vec::new(),
        };
        let config = DataConfig { pad: 0, validation: None, augment: Vec::new(), ..config() };
        let message = |splits| config.prepare(splits).unwrap_err().to_string();
        assert_eq!(
            message(splits(&[0, 0], None, Some(&[1]))),
            "the split `train`: found no images of 2 of 3 classes: `dog`, `eel`, expected at least \
             one image of each class"
        );
        assert_eq!(
            message(splits(&[0, 1, 2], None, Some(&[]))),
            "the split `test`: found no images, expected at least one"
        );
        let valid = message(splits(&[0, 1, 2], Some(&[]), Some(&[0])));
        assert!(valid.starts_with("the split `valid`: found no images"), "{valid}");
        let nothing = message(splits(&[0, 1, 2], None, None));
        assert!(nothing.starts_with("`data.validation` is unset, expected a share"), "{nothing}");
        let data = config.prepare(splits(&[0, 1, 2], Some(&[0]), None)).unwrap();
        assert!(data.test.is_none() && data.valid.is_some());
    }

    #[test]
    fn toml_round_trips() {
        let text = toml::to_string(&config()).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), config());
        let given = "dataset = 'cifar10'\nnormalize = { given = { mean = [0.5, 0.5, 0.5], \
                     deviation = [0.25, 0.25, 0.25] } }";
        let given: DataConfig = toml::from_str(given).unwrap();
        let text = toml::to_string(&given).unwrap();
        assert_eq!(toml::from_str::<DataConfig>(&text).unwrap(), given);
        assert!(toml::from_str::<DataConfig>("dataset = 'cifar10'\npads = 1").is_err());
    }

    #[test]
    fn values_out_of_range_are_rejected() {
        let message = |change: fn(&mut DataConfig)| {
            let mut config = config();
            change(&mut config);
            config.open(Path::new("nowhere")).unwrap_err().to_string()
        };
        for fraction in ["0", "1", "1.5", "-0.5", "NaN"] {
            let mut config = config();
            config.validation.as_mut().unwrap().fraction = fraction.parse().unwrap();
            assert_eq!(
                config.open(Path::new("nowhere")).unwrap_err().to_string(),
                format!(
                    "`data.validation.fraction` is {fraction}, \
                     expected a number between 0 and 1 (exclusive)"
                )
            );
        }
        let small = message(|config| config.validation.as_mut().unwrap().fraction = 0.001);
        assert!(
            small.contains("splits 100 images into 100 for training and 0 for validation"),
            "{small}"
        );
        let pad = message(|config| config.pad = usize::MAX);
        assert!(pad.contains("`data.pad` is 18446744073709551615, expected at most 256"), "{pad}");
        let augment = message(|config| {
            config.augment = vec![AugmentConfig::PadCrop(crate::PadCropConfig { padding: 12 })];
        });
        assert!(augment.contains("`data.augment[0].pad_crop.padding` is 12"), "{augment}");
    }
}
