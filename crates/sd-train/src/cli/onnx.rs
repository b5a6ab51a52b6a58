//! The arguments of `export`.

use std::path::PathBuf;

use super::Weights;

/// Arguments of `export`.
#[derive(Debug, Clone, clap::Args)]
pub struct OnnxArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// The network up to this exit alone: exit1, exit2, …, deepest [default: deepest]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all", "staged"])]
    pub exit: Option<String>,

    /// Every exit's logits and their mean, the ensemble
    #[arg(long, conflicts_with = "staged")]
    pub all: bool,

    /// A segment for each exit, chained by the feature map, for early exit; --out is a folder
    #[arg(long)]
    pub staged: bool,

    /// The file, or the folder of the segments [default: RUN/NAME.onnx, RUN/all.onnx, RUN/staged]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Keep batch norms apart from the convolutions before them
    #[arg(long, conflicts_with = "int8")]
    pub no_fold: bool,

    /// Convolutions in 8-bit whole numbers, calibrated on training images
    #[arg(long, value_enum, value_name = "FORM")]
    pub int8: Option<Int8>,

    /// Which values of a feature map the 8 bits span
    #[arg(long, value_enum, default_value_t = Calibration::Percentile, requires = "int8")]
    pub calibration: Calibration,

    /// Training images to calibrate on, in batches of 64
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..), requires = "int8")]
    pub calibration_images: u32,

    /// Points of top-1 on the validation split that early exit may cost; thresholds follow from it
    #[arg(long, value_name = "POINTS", default_value_t = 0.5, value_parser = points)]
    pub tolerance: f64,

    /// Multiply-accumulates that an image of the validation split may take on average, in percent
    /// of the deepest exit's; the most accurate thresholds within them follow from it
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "tolerance")]
    pub budget: Option<f64>,

    /// Which weights: of the last epoch, or of the best epoch on the validation split
    #[arg(long, value_enum, default_value_t = Weights::Last)]
    pub weights: Weights,

    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// Forms of 8-bit convolutions; each runs as whole numbers in its own runtimes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Int8 {
    /// Between QuantizeLinear and DequantizeLinear, for ONNX Runtime
    Qdq,
    /// ConvInteger, for the native engine and rten
    Convinteger,
}

/// What runs an exported file: `sd-infer`'s runtimes, on which `xtask`, which compiles this file too,
/// does not depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// This project's engine (sd-engine), for the networks that it exports
    #[value(alias = "own")]
    Native,
    /// rten, in pure Rust, for other networks
    Rten,
    /// ONNX Runtime; `ORT_DYLIB_PATH` names its library
    Ort,
}

/// Which values of a feature map the 8 bits span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Calibration {
    /// From the least to the most of all batches
    Minmax,
    /// All but a ten-thousandth at either end, the mean over the batches
    Percentile,
}

fn points(text: &str) -> Result<f64, String> {
    up_to_100(text, "points")
}

fn percent(text: &str) -> Result<f64, String> {
    up_to_100(text, "percent")
}

fn up_to_100(text: &str, what: &str) -> Result<f64, String> {
    let expected = || format!("found `{text}`, expected a number of {what} from 0 to 100");
    let number: f64 = text.parse().map_err(|_| expected())?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err(expected()) }
}
