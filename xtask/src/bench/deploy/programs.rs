//! The programs that a deployment benchmark runs.

use super::DeployArgs;
use crate::bench::python;
use crate::libtorch::{Libtorch, Setup};
use crate::run;
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A black PNG of one pixel.
const PIXEL: [u8; 67] = [
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N',
    b'D', 0xae, 0x42, 0x60, 0x82,
];

/// Built programs and the image for start times.
#[derive(Debug)]
pub struct Programs {
    pub sd_train: PathBuf,
    pub sd_bench: PathBuf,
    /// `sd-infer` as `cargo xtask infer` builds it, stripped.
    pub sd_infer: PathBuf,
    pub python: Option<PathBuf>,
    /// A black PNG of one pixel.
    pub pixel: PathBuf,
}

impl Programs {
    /// Builds the programs; `folder` gets the stripped program and the image.
    pub fn build(
        args: &DeployArgs,
        setup: &Setup,
        libtorch: &Libtorch,
        folder: &Path,
    ) -> Result<Self> {
        let python = args
            .python
            .as_deref()
            .map(|python| python::with_torch(Some(python), setup))
            .transpose()?;
        let sd_train = run::build(&run::SD_TRAIN_ALL, Some(libtorch))?;
        let sd_bench = run::build(&run::SD_BENCH, Some(libtorch))?;
        let sd_infer = folder.join("sd-infer");
        let built = run::build(&run::SD_INFER, None)?;
        let status = Command::new("strip").arg("-o").arg(&sd_infer).arg(built).status();
        ensure!(status.is_ok_and(|status| status.success()), "`strip` (binutils) failed");
        let pixel = folder.join("pixel.png");
        fs::write(&pixel, PIXEL)?;
        Ok(Self { sd_train, sd_bench, sd_infer, python, pixel })
    }
}
