//! The `[data]` section for a folder of images.

use crate::dataset::image_folder::{ImageFolderConfig, Layout};
use crate::dataset::{ImageFilesConfig, ListedFile, dimensions, open_regular};
use crate::split::{Split, stratified};
use crate::{
    AugmentConfig, DataConfig, DatasetConfig, Error, FlipConfig, HoldBackConfig, NormalizeConfig,
    PadCropConfig, RandomResizedCropConfig, Result, memory,
};
use std::io::BufReader;
use std::path::Path;

/// Sides to choose from, in pixels.
const SIDES: [usize; 6] = [32, 64, 96, 112, 128, 224];
/// Number of images from which on a side above [`MANY_SIDE`] takes too long.
const MANY: usize = 1000;
const MANY_SIDE: usize = 128;
/// Largest side of a small image, which is shifted rather than scaled.
pub const SMALL_SIDE: usize = 64;
/// Share of the memory that the images may take.
const MEMORY_SHARE: u64 = 4;
/// Number of files whose size is looked up.
const MEASURED: usize = 200;
/// Fewest images of a class from which images for validation and testing are drawn.
const FEWEST: usize = 5;

impl DataConfig {
    /// The section for the images in `folder`: `train/CLASS/…` with optional `val/CLASS/…` and
    /// `test/CLASS/…`, or `CLASS/…` alone. Returns it with the number of images that it trains on.
    ///
    /// - The side is the largest of 32, 64, 96, 112, 128 and 224 pixels that is not above the median of
    ///   the images' shorter sides, nor above 128 from 1,000 images on, and at which all images take at
    ///   most a quarter of the available memory.
    /// - A fifth of each class is drawn for validation unless `val/` exists, and before that a fifth
    ///   for testing unless `test/` or `val/` exists.
    /// - Images of up to 64 pixels are shifted and flipped, larger ones cropped, scaled and flipped; crops
    ///   come from images with shorter sides of at most twice the side.
    ///
    /// # Errors
    /// If the folder has fewer than two classes, a class without images or with too few to draw from,
    /// or no readable image.
    pub fn of_folder(folder: &Path, data_dir: &Path) -> Result<(Self, usize)> {
        let root = folder.canonicalize().map_err(Error::read(folder))?;
        if !root.is_dir() {
            return Err(Error::folder(folder, "a file", "a folder of images"));
        }
        let layout = Layout::of(&root)?;
        let classes = layout.classes.len();
        if classes < 2 {
            let found = match layout.classes.first() {
                None => "no class folders".to_owned(),
                Some(class) => format!("one class, `{class}`"),
            };
            let expected = "two or more folders of images, one per class";
            return Err(Error::folder(&layout.train, found, expected));
        }
        let files = layout.list(&root, false)?;
        let share = |missing: bool| missing.then_some(HoldBackConfig { fraction: 0.2, seed: 0 });
        let (validation, test) =
            (share(files.valid.is_none()), share(files.valid.is_none() && files.test.is_none()));
        let mut of_class = vec![0; classes];
        files.train.iter().for_each(|file| of_class[file.label] += 1);
        let fewest = if validation.is_some() { FEWEST } else { 1 };
        if let Some(class) = of_class.iter().position(|&count| count < fewest) {
            let place = layout.train.join(&layout.classes[class]);
            let why = if fewest > 1 { ", from which validation images are drawn" } else { "" };
            let expected = format!("at least {fewest}{why}");
            return Err(Error::folder(&place, format!("{} images", of_class[class]), expected));
        }
        let mut labels: Vec<usize> = files.train.iter().map(|file| file.label).collect();
        for (share, split) in [(&test, Split::Test), (&validation, Split::Valid)] {
            if let Some(HoldBackConfig { fraction, seed }) = share {
                let (kept, _) = stratified(&labels, classes, *fraction, split, *seed);
                labels = kept.into_iter().map(|index| labels[index]).collect();
            }
        }
        let all = [files.valid.as_ref(), files.test.as_ref()];
        let total = files.train.len() + all.into_iter().flatten().map(Vec::len).sum::<usize>();
        let side = side(median_side(&root, &files.train)?, total, memory::available());
        let is_small = side <= SMALL_SIDE;
        let flip = AugmentConfig::Flip(FlipConfig { probability: 0.5, alternating: false });
        let crop = if is_small {
            AugmentConfig::PadCrop(PadCropConfig { padding: side / 8 })
        } else {
            let crop = RandomResizedCropConfig::default();
            AugmentConfig::RandomResizedCrop(RandomResizedCropConfig { scale: [0.35, 1.0], ..crop })
        };
        let shorter_side = (!is_small).then_some(side * 8 / 7);
        // No crop is enlarged, and photographs of many megapixels fit into memory.
        let crop_from = (!is_small).then_some(2 * side);
        let files = ImageFilesConfig { shorter_side, crop_from, ..ImageFilesConfig::new(side) };
        let folder = folder_key(&root, data_dir)?;
        let config = Self {
            dataset: DatasetConfig::ImageFolder(ImageFolderConfig {
                folder,
                classes,
                images: files,
            }),
            pad: 0,
            validation,
            test,
            augment: vec![crop, flip],
            normalize: NormalizeConfig::Measured,
        };
        Ok((config, labels.len()))
    }
}

/// The side for `images` images with this median side, within `memory` bytes.
fn side(median: usize, images: usize, memory: Option<u64>) -> usize {
    let fits = |side: usize| {
        let bytes = (images * 3 * side * side) as u64;
        side <= median
            && (side <= MANY_SIDE || images < MANY)
            && memory.is_none_or(|memory| bytes <= memory / MEMORY_SHARE)
    };
    SIDES.into_iter().rev().find(|&side| fits(side)).unwrap_or(SIDES[0])
}

/// Median of the shorter sides of some of these files, by their headers. Broken files are left to the
/// reading of all images, which names them.
fn median_side(root: &Path, files: &[ListedFile]) -> Result<usize> {
    let mut sides = Vec::new();
    let mut broken = None;
    for file in files.iter().step_by(files.len().div_ceil(MEASURED)) {
        match shorter_side(&file.path) {
            Ok(side) => sides.push(side),
            Err(error) => broken = broken.or(Some(format!("`{}`: {error}", file.name))),
        }
    }
    sides.sort_unstable();
    sides.get(sides.len() / 2).copied().ok_or_else(|| {
        let found = format!("no readable image ({})", broken.unwrap_or_default());
        Error::folder(root, found, "JPEG, PNG, WebP, BMP or GIF files")
    })
}

fn shorter_side(path: &Path) -> std::result::Result<usize, String> {
    let file = open_regular(path).map_err(|error| error.to_string())?;
    dimensions(BufReader::new(file)).map(|(width, height)| width.min(height) as usize)
}

/// The folder as a configuration names it: relative to the data folder if it is in it.
fn folder_key(root: &Path, data_dir: &Path) -> Result<String> {
    let data_dir = data_dir.canonicalize().ok();
    let inner = data_dir.and_then(|data_dir| root.strip_prefix(data_dir).ok());
    let name = inner.filter(|inner| !inner.as_os_str().is_empty()).unwrap_or(root).to_str();
    let named = name.ok_or_else(|| Error::folder(root, "a path that is not UTF-8", "UTF-8"));
    named.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use tempfile::TempDir;

    /// A folder with an image of `size` pixels for each name.
    fn folder(names: &[&str], size: (u32, u32)) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (index, name) in names.iter().enumerate() {
            let path = folder.path().join("pets").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let index = index as u8;
            let color = image::Rgb([index, 2 * index, 255 - index]);
            let image = RgbImage::from_pixel(size.0, size.1, color);
            image.save(path).unwrap();
        }
        folder
    }

    fn names(prefix: &str, counts: [usize; 2]) -> Vec<String> {
        let of = |class, count| (0..count).map(move |n| format!("{prefix}{class}/{n}.png"));
        of("cat", counts[0]).chain(of("dog", counts[1])).collect()
    }

    fn chosen(names: &[Vec<String>], size: (u32, u32)) -> Result<(DataConfig, usize, TempDir)> {
        let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let folder = folder(&names, size);
        let (config, images) = DataConfig::of_folder(&folder.path().join("pets"), folder.path())?;
        Ok((config, images, folder))
    }

    #[test]
    fn class_folders_alone_are_split_in_three() {
        let (config, images, folder) = chosen(&[names("", [5, 10])], (50, 40)).unwrap();
        let data = config.open(folder.path()).unwrap();
        let (valid, test) = (data.valid.unwrap(), data.test.unwrap());
        assert_eq!((images, data.train.of_class()), (9, vec![3, 6]));
        assert_eq!((valid.of_class(), test.of_class()), (vec![1, 2], vec![1, 2]));
        assert_eq!(config.input().0.height, 32);
    }

    #[test]
    fn splits_that_are_there_are_kept() {
        let counts = |prefixes: &[&str]| {
            let names: Vec<_> = prefixes.iter().map(|prefix| names(prefix, [6, 5])).collect();
            let (config, _, folder) = chosen(&names, (300, 250)).unwrap();
            assert_eq!(config.input().0.height, 224);
            let data = config.open(folder.path()).unwrap();
            [Some(data.train), data.valid, data.test].map(|set| set.map_or(0, |set| set.len()))
        };
        assert_eq!(counts(&["train/", "test/"]), [9, 2, 11]);
        assert_eq!(counts(&["train/", "val/"]), [11, 11, 0]);
        assert_eq!(counts(&["train/", "validation/", "test/"]), [11, 11, 11]);
        assert_eq!(counts(&["train/"]), [7, 2, 2]);
    }

    #[test]
    fn folders_that_cannot_be_trained_on_are_explained() {
        let message = |names: &[&str]| {
            let folder = folder(names, (8, 8));
            std::fs::create_dir_all(folder.path().join("pets")).unwrap();
            let chosen = DataConfig::of_folder(&folder.path().join("pets"), folder.path());
            chosen.unwrap_err().to_string()
        };
        for (names, expected) in [
            (&[][..], "found no class folders, expected two or more folders of images"),
            (&["cat/a.png"], "found one class, `cat`, expected two"),
            (&["a.png"], "pets/a.png`: found a file, expected one folder per class"),
            (&["cat/a.png", "dog/a.png"], "cat`: found 1 images, expected at least 5, from which"),
            (&["Train/cat/a.png", "Test/cat/a.png"], "found the folder `Test`, expected `train`"),
        ] {
            let error = message(names);
            assert!(error.contains(expected), "{error}");
        }
        let broken = TempDir::new().unwrap();
        for name in names("", [5, 5]) {
            let path = broken.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "no image").unwrap();
        }
        let error = DataConfig::of_folder(broken.path(), broken.path()).unwrap_err().to_string();
        assert!(error.contains("found no readable image (`cat/0.png`: "), "{error}");
    }

    #[test]
    fn the_side_follows_size_number_and_memory() {
        assert_eq!(side(28, 100, None), 32);
        assert_eq!(side(127, 100, None), 112);
        assert_eq!(side(4000, 999, None), 224);
        assert_eq!(side(4000, 1000, None), 128);
        // 100 images of 96 pixels take 2.8 MB.
        assert_eq!(side(4000, 100, Some(11_100_000)), 96);
        assert_eq!(side(4000, 100, Some(11_000_000)), 64);
        assert_eq!(side(4000, 1 << 20, Some(1)), 32);
    }
}
