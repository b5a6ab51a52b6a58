//! `cargo xtask demo`: a web page that runs a trained network in the browser, exit by exit.

mod page;
mod runtime;

use crate::libtorch::Setup;
use crate::{atomic_write, run};
use anyhow::{Context, Result};
use page::{Page, Sample};
use sd_cli::print;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Number of test images on the page
    #[arg(long, value_name = "N", default_value_t = 18, value_parser = clap::value_parser!(u16).range(1..=200))]
    samples: u16,

    /// Validation accuracy that early exit may cost, in points [default: as chosen in training]
    #[arg(long, value_name = "POINTS")]
    tolerance: Option<f64>,

    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    data_dir: PathBuf,

    /// File of the page [default: RUN/demo.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Exports the staged network of a run and writes it with test images and ONNX Runtime to one page,
/// which needs no server and no internet. Without the data set the page has no test images.
pub fn demo(args: &DemoArgs) -> Result<ExitCode> {
    let setup = Setup::from_environment()?;
    let libtorch = setup.ensure()?;
    let runtime = runtime::load(&setup.cache)?;
    let work = tempfile::tempdir()?;
    let (staged, samples) = (work.path().join("staged"), work.path().join("samples"));

    let mut export = Command::new(run::build(&run::SD_TRAIN, Some(&libtorch))?);
    export.arg("export").arg(&args.run).arg("--staged").arg("--out").arg(&staged);
    export.args(args.tolerance.map(|points| format!("--tolerance={points}")));
    run::finish(export.arg("--data-dir").arg(&args.data_dir))?;

    let mut data = Command::new(run::build(&run::SD_DATA, None)?);
    data.arg("samples").arg(args.run.join("config.toml")).arg("--out").arg(&samples);
    data.args(["--images", &args.samples.to_string()]);
    fs::create_dir(&samples)?;
    if let Err(error) = run::finish(data.arg("--data-dir").arg(&args.data_dir)) {
        eprintln!("the page has no test images: {error:#}");
    }

    let segments = files(&staged)?.iter().map(fs::read).collect::<Result<_, _>>()?;
    let samples = files(&samples)?.iter().map(|path| sample(path)).collect::<Result<_>>()?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join("demo.html"));
    atomic_write::write(&out, Page { runtime, segments, samples }.html()?.as_bytes())?;
    print(out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Files of a folder, sorted by name: `1-…`, `2-…`.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Reads a sample such as `003-ankle_boot.png`.
fn sample(path: &Path) -> Result<Sample> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let class = stem.split_once('-').map_or(&*stem, |(_, class)| class).replace('_', " ");
    let format = match path.extension().unwrap_or_default().to_string_lossy() {
        jpeg if jpeg == "jpg" => "jpeg".into(),
        other => other,
    };
    Ok(Sample { class, media_type: format!("image/{format}"), bytes: fs::read(path)? })
}
