//! `samples`: some images of a data set as files.

use crate::{ConfigArgs, Experiment, read, write};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sd_data::{ImageSet, Purpose, Splits, StorageConfig};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Number of images by default: to try a network with, and to train on.
const FEW: u16 = 12;
const MANY: u16 = 500;

#[derive(Args)]
pub struct SamplesArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Folder to write to.
    #[arg(long, value_name = "DIR", default_value = "samples")]
    out: PathBuf,

    /// Number of images, spread over the classes; with `--folders`, of each split [default: 12, or 500
    /// with `--folders`]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    images: Option<u16>,

    /// Write training images too, as `train/CLASS/…` and `test/CLASS/…`: a folder that
    /// `train --images` can train on
    #[arg(long)]
    folders: bool,
}

/// Writes images of the test split, or of another if there is none, without the configuration's
/// border. Image files are copied unchanged, so that whoever classifies them resizes and crops them
/// only once.
pub fn samples(args: &SamplesArgs, data_dir: &Path) -> Result<()> {
    let Experiment { data: config, .. } = read(&args.config, data_dir)?;
    config.check()?;
    let dataset = config.dataset.get();
    let is_packed = dataset
        .image_files()
        .is_some_and(|images| matches!(images.storage, StorageConfig::Packed(_)));
    // As for packing, image files are listed and not decoded: most of them are not written.
    let purpose = if is_packed { Purpose::Fitted } else { Purpose::Packing };
    let mut splits = dataset.load_for(data_dir, purpose)?;
    config.hold_back(&mut splits)?;
    let root = dataset.files_root(data_dir)?;
    let images = args.images.unwrap_or(if args.folders { MANY } else { FEW });
    let writer = Writer { root, images: images.into() };
    let Splits { train, valid, test, .. } = splits;
    let measured = test.or(valid);
    if !args.folders {
        let set = measured.unwrap_or(train);
        return writer.write(&set, |index, class| args.out.join(format!("{index:03}-{class}")));
    }
    ensure!(
        !args.out.exists() || args.out.read_dir().is_ok_and(|mut entries| entries.next().is_none()),
        "--out: {} is not empty, expected a new or empty folder",
        args.out.display()
    );
    let mut folders = BTreeMap::new();
    for class in train.class_names() {
        if let Some(other) = folders.insert(plain(class), class) {
            bail!(
                "the classes `{other}` and `{class}` would have the same folder `{}`",
                plain(class)
            );
        }
    }
    for (split, set) in [("train", Some(train)), ("test", measured)] {
        let folder = args.out.join(split);
        let path = |index, class: &str| folder.join(class).join(format!("{index:04}"));
        set.map_or(Ok(()), |set| writer.write(&set, path))?;
    }
    Ok(())
}

/// A class name as part of a file's name.
fn plain(class: &str) -> String {
    class.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// Writes images of one data set.
struct Writer {
    /// Folder of the image files, if the data set consists of such.
    root: Option<PathBuf>,
    /// Number of images to write of a split.
    images: usize,
}

impl Writer {
    /// Writes images of `set`; `path` is the file's path, without extension, of an image by index and
    /// class.
    fn write(&self, set: &ImageSet, path: impl Fn(usize, &str) -> PathBuf) -> Result<()> {
        let set = set.class_by_class(self.images);
        let names: Vec<String> = set.class_names().iter().map(|name| plain(name)).collect();
        for index in 0..set.len() {
            let path = path(index, &names[set.label(index)]);
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
            match (&self.root, set.file(index)) {
                (Some(root), Some(file)) => copy(&root.join(file), &path)?,
                _ => {
                    let picture = set.shape().picture(&set.image(index)?);
                    write_png(&path.with_extension("png"), &picture)?;
                }
            }
        }
        Ok(())
    }
}

/// Copies an image file, with the extension of its actual format.
fn copy(file: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let extensions = image::guess_format(&bytes).map_or(&[][..], |format| format.extensions_str());
    let [extension, ..] = extensions else {
        bail!("{}: found an unknown format, expected an image", file.display())
    };
    write(&to.with_extension(extension), &bytes)
}

fn write_png(path: &Path, picture: &image::RgbImage) -> Result<()> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    write(path, png.get_ref())
}
