//! Fetches the published data sets, shows augmented images, and checks what is in a data set.

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use sd_data::DataConfig;
use sd_data::check::Check;
use sd_data::fetch::{self, Presence, Published, Source};
use sd_data::preview::{PreviewConfig, preview};
use serde::{Deserialize, Serialize};
use std::io::{Cursor, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Fetches, shows and checks data sets.
#[derive(Parser)]
#[command(name = "sd-data", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// The folder of the data sets.
    #[arg(long, global = true, env = "SD_DATA_DIR", default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Puts a data set into the data folder; nothing to do where it is there.
    Fetch {
        /// cifar10, cifar100 or fashion-mnist.
        #[arg(value_parser = published)]
        name: Published,

        /// A folder or an http(s) address that has the files, instead of their official home.
        #[arg(long, value_name = "DIR_OR_URL")]
        from: Option<String>,
    },
    /// Says which data sets are there.
    List,
    /// Writes an HTML page of training images beside their augmented versions.
    Preview(PreviewArgs),
    /// Writes some test images, named by their classes: image files as they are, others as PNG.
    Samples(SamplesArgs),
    /// Counts the images of a configuration and their classes, finds equal images, measures mean
    /// and deviation.
    Check {
        /// An experiment's configuration; of it, the section `[data]`.
        #[arg(value_name = "CONFIG")]
        config: PathBuf,

        /// Print one JSON document, with all duplicates.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct PreviewArgs {
    /// An experiment's configuration; of it, the seed and the section `[data]`.
    #[arg(value_name = "CONFIG")]
    config: PathBuf,

    /// The page to write.
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
struct SamplesArgs {
    /// An experiment's configuration; of it, the section `[data]`.
    #[arg(value_name = "CONFIG")]
    config: PathBuf,

    /// The folder to write them into.
    #[arg(long, value_name = "DIR", default_value = "samples")]
    out: PathBuf,

    /// Images, of as many classes as there are.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    images: u16,
}

/// What is read of an experiment; the rest is not for this program.
#[derive(Deserialize)]
struct Experiment {
    #[serde(default)]
    seed: u64,
    data: DataConfig,
}

/// What `check --json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    data_set: &'a Check,
    /// Images that remain to train on, and to validate on.
    trained_on: usize,
    validated_on: usize,
    normalization: sd_data::Normalization,
}

fn published(name: &str) -> Result<Published> {
    match Published::ALL.into_iter().find(|data_set| data_set.name() == name) {
        Some(data_set) => Ok(data_set),
        None => bail!("expected one of {}", Published::ALL.map(Published::name).join(", ")),
    }
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
        Command::Fetch { name, from } => {
            let mut recipe = name.recipe();
            if let Some(from) = from {
                recipe.sources = vec![Source::from_argument(&from)];
            }
            fetch::fetch(&recipe, &data_dir, &mut |line| eprintln!("{line}"))
                .map_err(anyhow::Error::from)
        }
        Command::List => list(&data_dir),
        Command::Preview(args) => preview_page(&args, &data_dir),
        Command::Samples(args) => samples(&args, &data_dir),
        Command::Check { config, json } => check(&config, json, &data_dir),
    }
}

fn list(data_dir: &Path) -> Result<()> {
    for data_set in Published::ALL {
        let name = data_set.name();
        let state = match fetch::presence(&data_set.recipe(), data_dir)? {
            Presence::Absent => format!("absent; `cargo xtask data fetch {name}` gets it"),
            Presence::Partly => format!("in part; `cargo xtask data fetch {name}` goes on"),
            Presence::Complete => "there, checksums right".to_owned(),
            Presence::Unpacked => "there, unpacked".to_owned(),
            Presence::Different(path) => {
                format!("there, but `{}` is not the published file", path.display())
            }
        };
        println!("{name:<14} {state}");
    }
    Ok(())
}

fn read(path: &Path) -> Result<Experiment> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    let experiment: Experiment = toml::from_str(&text)
        .with_context(|| format!("in the configuration {}", path.display()))?;
    Ok(experiment)
}

fn preview_page(args: &PreviewArgs, data_dir: &Path) -> Result<()> {
    if args.out.extension().is_some_and(|extension| extension == "png") {
        bail!("--out: found {}, expected an HTML file", args.out.display());
    }
    let Experiment { seed, data: config } = read(&args.config)?;
    let data = config.open(data_dir)?;
    let &PreviewArgs { images, versions, .. } = args;
    let page = preview(&data, &config, PreviewConfig { images, versions, seed })?;
    write(&args.out, page.as_bytes())
}

/// The images of the test split as the data set has them, without a configuration's border: image
/// files as they are, for whoever takes them to resize and cut once.
fn samples(args: &SamplesArgs, data_dir: &Path) -> Result<()> {
    let Experiment { data: config, .. } = read(&args.config)?;
    config.check()?;
    let some = config.dataset.get().load(data_dir)?.test.class_by_class(args.images.into());
    let root = config.dataset.get().files_root(data_dir)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    for index in 0..some.len() {
        let class = &some.class_names()[some.label(index)];
        let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let class: String = class.chars().map(plain).collect();
        let path = args.out.join(format!("{index:03}-{class}"));
        match (&root, some.file(index)) {
            (Some(root), Some(file)) => copy(&root.join(file), &path)?,
            _ => {
                let picture = some.shape().picture(some.image(index));
                write_png(&path.with_extension("png"), &picture)?;
            }
        }
    }
    Ok(())
}

/// Copies an image file, named by its content, and tells its file.
fn copy(file: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let [extension, ..] = image::guess_format(&bytes)?.extensions_str() else {
        bail!("{} is of a format without a name", file.display())
    };
    write(&to.with_extension(extension), &bytes)
}

/// Writes a picture and tells its file.
fn write_png(path: &Path, picture: &image::RgbImage) -> Result<()> {
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png)?;
    write(path, png.get_ref())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// A whole file or none.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    // A temporary file is its owner's alone; this one becomes a file like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn check(config: &Path, json: bool, data_dir: &Path) -> Result<()> {
    let Experiment { data: config, .. } = read(config)?;
    config.check()?;
    let splits = config.dataset.get().load(data_dir)?;
    let check = Check::new(config.dataset.get().name(), &splits);
    let data = config.prepare(splits)?;
    let checked = Checked {
        data_set: &check,
        trained_on: data.train.len(),
        validated_on: data.valid.as_ref().map_or(0, |valid| valid.len()),
        normalization: data.normalization,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&checked)?);
        return Ok(());
    }
    println!("{check}");
    println!(
        "\nthis configuration trains on {} images, validates on {}, and normalises by\n  \
         mean {:?}\n  deviation {:?}",
        checked.trained_on,
        checked.validated_on,
        checked.normalization.mean,
        checked.normalization.deviation
    );
    Ok(())
}
