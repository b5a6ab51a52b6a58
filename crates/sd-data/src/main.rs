//! Fetches published data sets, previews augmentation, writes samples, and checks and packs data sets.

mod samples;

use anyhow::{Context, Result, bail};
use atomic_write_file::AtomicWriteFile;
use clap::{Args, Parser, Subcommand};
use samples::{SamplesArgs, samples};
use sd_cli::{config_override, print};
use sd_data::check::Check;
use sd_data::fetch::{self, Presence, Recipe, Source};
use sd_data::pack::{PackForm, Packed, pack};
use sd_data::preview::{PreviewConfig, preview};
use sd_data::{DataConfig, ImageSet, Normalization, StorageConfig};
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Fetch, preview, sample, check and pack data sets.
#[derive(Parser)]
#[command(name = "sd-data", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Folder of the data sets.
    #[arg(long, global = true, env = "SD_DATA_DIR", default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Download a data set into the data folder, unless it is there already.
    Fetch {
        /// Data set: cifar10, cifar100 or fashion-mnist.
        #[arg(value_name = "NAME", value_parser = published)]
        recipe: Recipe,

        /// Folder or http(s) URL to get the files from instead of their official site.
        #[arg(long, value_name = "DIR_OR_URL")]
        from: Option<String>,
    },
    /// List the published data sets and whether they are in the data folder.
    List,
    /// Write an HTML page of training images beside their augmented versions.
    Preview(PreviewArgs),
    /// Write some test images (validation images if there are none), named by class: image files
    /// unchanged, others as PNG. With `--folders`, write a folder to train on.
    Samples(SamplesArgs),
    /// Write all image files of a configuration into one file, which opens at once.
    Pack(PackArgs),
    /// Count images and classes, find duplicates, and measure mean and standard deviation.
    Check {
        #[command(flatten)]
        config: ConfigArgs,

        /// Print one JSON document with all duplicates.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct ConfigArgs {
    /// Configuration of an experiment, of which only the seed and the `[data]` section are read; or a
    /// folder of images, as `train --images` reads it
    #[arg(value_name = "CONFIG|FOLDER", default_value = "configs/quickstart.toml")]
    config: PathBuf,

    /// Set a value of the configuration, e.g. `-s data.pad=2` (may be repeated).
    #[arg(short = 's', long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Args)]
struct PreviewArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Page to write.
    #[arg(long, value_name = "FILE.html", default_value = "preview.html")]
    out: PathBuf,

    /// Number of training images.
    #[arg(long, default_value_t = 10)]
    images: usize,

    /// Number of augmented versions per image.
    #[arg(long, default_value_t = 8)]
    versions: usize,
}

#[derive(Args)]
struct PackArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// File to write, relative to the data folder [default: that of `storage` in the configuration, or
    /// the name of the data set with the ending `.pack`]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Pack the files instead of their pixels: smaller, but decoded for each batch
    #[arg(long)]
    files: bool,

    /// Pack JPEG files of this quality, resized to the larger one of `shorter_side` and `crop_from`
    #[arg(long, value_name = "QUALITY", value_parser = clap::value_parser!(u8).range(1..=100), conflicts_with = "files")]
    jpeg: Option<u8>,
}

/// The part of an experiment that this program reads.
#[derive(Serialize, Deserialize)]
struct Experiment {
    #[serde(default)]
    seed: u64,
    data: DataConfig,
}

/// The output of `check --json`.
#[derive(Serialize)]
struct Checked<'a> {
    data_set: &'a Check,
    /// Training images left after the validation split, and validation images.
    trained_on: usize,
    validated_on: usize,
    /// Unset if the configuration cannot train on the data set.
    normalization: Option<&'a Normalization>,
}

fn published(name: &str) -> Result<Recipe> {
    let recipe = fetch::published().into_iter().find(|recipe| recipe.name == name);
    recipe.with_context(|| {
        format!("expected one of {}", fetch::published().map(|recipe| recipe.name).join(", "))
    })
}

fn main() -> Result<()> {
    let Arguments { command, data_dir } = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .compact()
        .init();
    match command {
        Command::Fetch { mut recipe, from } => {
            if let Some(from) = from {
                recipe.sources = vec![Source::from_argument(&from)];
            }
            fetch::fetch(&recipe, &data_dir, &mut |line| eprintln!("{line}"))
                .map_err(anyhow::Error::from)
        }
        Command::List => list(&data_dir),
        Command::Preview(args) => preview_page(&args, &data_dir),
        Command::Samples(args) => samples(&args, &data_dir),
        Command::Pack(args) => pack_images(&args, &data_dir),
        Command::Check { config, json } => check(&config, json, &data_dir),
    }
}

fn list(data_dir: &Path) -> Result<()> {
    for recipe in fetch::published() {
        let name = &recipe.name;
        let state = match fetch::presence(&recipe, data_dir)? {
            Presence::Absent => format!("absent; fetch it with `cargo xtask data fetch {name}`"),
            Presence::Partly => format!("incomplete; resume with `cargo xtask data fetch {name}`"),
            Presence::Complete => "complete, checksums verified".to_owned(),
            Presence::Unpacked => "complete, unpacked".to_owned(),
            Presence::Different(path) => {
                format!("`{}` is not the published file", path.display())
            }
        };
        print(format_args!("{name:<14} {state}"))?;
    }
    Ok(())
}

fn read(args: &ConfigArgs, data_dir: &Path) -> Result<Experiment> {
    let path = args.config.display();
    let text = if args.config.is_dir() {
        let (data, _) = DataConfig::of_folder(&args.config, data_dir)?;
        toml::to_string(&Experiment { seed: 0, data })?
    } else {
        std::fs::read_to_string(&args.config)
            .with_context(|| format!("cannot read the configuration {path}"))?
    };
    let parse = || {
        if args.set.is_empty() {
            return Ok(toml::from_str(&text)?);
        }
        let mut table: toml::Table = toml::from_str(&text)?;
        for change in &args.set {
            config_override::apply(&mut table, change).with_context(|| format!("-s {change}"))?;
        }
        Ok::<Experiment, anyhow::Error>(table.try_into()?)
    };
    parse().with_context(|| format!("in the configuration {path}"))
}

fn preview_page(args: &PreviewArgs, data_dir: &Path) -> Result<()> {
    let ending = args.out.extension().unwrap_or_default();
    if !["html", "htm"].iter().any(|page| ending.eq_ignore_ascii_case(page)) {
        bail!("--out: found {}, expected an HTML file (.html or .htm)", args.out.display());
    }
    let Experiment { seed, data: config } = read(&args.config, data_dir)?;
    let &PreviewArgs { images, versions, .. } = args;
    let size = PreviewConfig { images, versions, seed };
    size.check(&config)?;
    let data = config.open(data_dir)?;
    let page = preview(&data, &config, size)?;
    write(&args.out, page.as_bytes())
}

fn pack_images(args: &PackArgs, data_dir: &Path) -> Result<()> {
    let Experiment { data: config, .. } = read(&args.config, data_dir)?;
    let dataset = config.dataset.get();
    let configured = dataset.image_files().and_then(|images| match &images.storage {
        StorageConfig::Packed(file) => Some(PathBuf::from(file)),
        _ => None,
    });
    let name = dataset.name();
    let default = || PathBuf::from(format!("{}.pack", name.replace(['/', '{', '}'], "-")));
    let out = args.out.clone().or(configured.clone()).unwrap_or_else(default);
    let form = match args.jpeg {
        Some(quality) => PackForm::Jpeg(quality),
        None if args.files => PackForm::Files,
        None => PackForm::Pixels,
    };
    let Packed { images, bytes } = pack(&config, data_dir, &data_dir.join(&out), form)?;
    print(format_args!(
        "{}: {images} images, {:.1} MB",
        data_dir.join(&out).display(),
        bytes as f64 / 1e6
    ))?;
    if configured.as_ref() != Some(&out) {
        let out = out.display();
        print(format_args!("train from it with `images.storage = {{ packed = \"{out}\" }}`"))?;
    }
    Ok(())
}

/// Writes a whole file or nothing, and prints its path.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        // If the sync within `commit` failed, the temporary file would stay.
        file.sync_all()?;
        file.commit()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    print(path.display())
}

/// Counts first and judges after: what a configuration cannot train on is shown too.
fn check(args: &ConfigArgs, json: bool, data_dir: &Path) -> Result<()> {
    let Experiment { data: config, .. } = read(args, data_dir)?;
    config.check()?;
    let mut splits = config.dataset.get().load(data_dir)?;
    let held_back = config.hold_back(&mut splits);
    let check = Check::new(config.dataset.get().name(), &splits)?;
    let images = |set: Option<&ImageSet>| set.map_or(0, ImageSet::len);
    let (trained_on, validated_on) = (splits.train.len(), images(splits.valid.as_ref()));
    let data = held_back.and_then(|()| config.prepare(splits));
    let normalization = data.as_ref().ok().map(|data| &data.normalization);
    if json {
        let checked = Checked { data_set: &check, trained_on, validated_on, normalization };
        print(serde_json::to_string_pretty(&checked)?)?;
    } else {
        print(&check)?;
        if let Some(Normalization { mean, deviation }) = normalization {
            print(format_args!(
                "\nthis configuration trains on {trained_on} images, validates on {validated_on}, \
                 and normalises by\n  mean {mean:?}\n  standard deviation {deviation:?}"
            ))?;
        }
    }
    data.map(|_| ()).context("this configuration cannot train on the data set")
}
