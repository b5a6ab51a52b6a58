//! Arguments of `export`.

use std::path::PathBuf;

use crate::WeightsChoice;

/// Arguments of `export`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Folder of a run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Write a folder for PyTorch, as the Hugging Face Hub has it, instead of ONNX files
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with_all = ["exit", "all", "staged", "no_fold", "int8"])]
    pub to: Option<ExportFormat>,

    /// Exit at which the network ends: exit1, exit2, …, deepest [default: deepest]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all", "staged"])]
    pub exit: Option<String>,

    /// Export all exits and the ensemble, the mean of their logits, in one file
    #[arg(long, conflicts_with = "staged", group = "early_exit")]
    pub all: bool,

    /// Export one file per exit, for early exit; --out is a folder
    #[arg(long, group = "early_exit")]
    pub staged: bool,

    /// File, or folder of `--staged` and `--to` [default: RUN/NAME.onnx, RUN/all.onnx, RUN/staged,
    /// RUN/pytorch]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Do not fold batch norms into the convolutions before them
    #[arg(long, conflicts_with = "int8")]
    pub no_fold: bool,

    /// Quantise convolutions to 8 bits, with the ranges of feature maps that training recorded
    #[arg(long, value_enum, value_name = "FORM")]
    pub int8: Option<Int8>,

    /// Range of a feature map that the 8 bits span
    #[arg(long, value_enum, default_value_t = Calibration::Percentile, requires = "int8")]
    pub calibration: Calibration,

    /// Measure the ranges anew, on at most N images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "int8")]
    pub calibration_images: Option<u32>,

    /// Measure the ranges anew, on the images in this folder instead of training images
    #[arg(long, value_name = "FOLDER", requires = "int8")]
    pub calibrate: Option<PathBuf>,

    /// Validation accuracy that early exit may cost, in points; sets the thresholds [default: 0.5]
    #[arg(long, value_name = "POINTS", value_parser = points, requires = "early_exit")]
    pub tolerance: Option<f64>,

    /// Mean multiply-accumulates of a validation image, in percent of the deepest exit's; sets the
    /// most accurate thresholds within this budget
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "tolerance", requires = "early_exit")]
    pub budget: Option<f64>,

    /// Weights to export
    #[arg(long, value_enum, default_value_t = WeightsChoice::Last)]
    pub weights: WeightsChoice,

    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// Formats other than ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// Weights, configuration, the network in plain PyTorch, and a model card
    Pytorch,
}

/// Forms of 8-bit convolutions. Each computes in integers in some runtimes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Int8 {
    /// QuantizeLinear and DequantizeLinear around each convolution, for ONNX Runtime
    Qdq,
    /// ConvInteger, for the native engine and rten
    Convinteger,
}

/// Range of a feature map that the 8 bits span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Calibration {
    /// Minimum to maximum over all batches
    Minmax,
    /// 0.01th to 99.99th percentile, averaged over the batches
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
