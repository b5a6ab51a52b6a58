//! Device, threads and data folder of a command.

use std::path::PathBuf;
use std::str::FromStr;

/// Device, threads and data folder of a command. A run's configuration does not contain them.
#[derive(Debug, Clone, clap::Args)]
pub struct RuntimeArgs {
    /// Folder that holds the data sets
    #[arg(long, value_name = "DIR", env = "SD_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,

    /// Device; `auto` is the first CUDA device, or else the CPU
    #[arg(long, value_name = "auto|cpu|cuda:N", default_value = "auto")]
    pub device: DeviceChoice,

    /// Number of threads that compute; as many load images [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// The defaults of the command line.
impl Default for RuntimeArgs {
    fn default() -> Self {
        Self { data_dir: "data".into(), device: DeviceChoice::Auto, threads: None }
    }
}

impl RuntimeArgs {
    /// Number of threads: as requested, or one per core, at most 1024.
    pub fn threads(&self) -> usize {
        self.threads_of(None)
    }

    /// Number of threads of one of `processes` on this machine, which share the cores.
    pub fn threads_of(&self, processes: Option<usize>) -> usize {
        let cores =
            || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(1024));
        let share = || (cores() / processes.unwrap_or(1)).max(1);
        self.threads.map_or_else(share, usize::from)
    }
}

/// A device as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device, or the CPU if there is none.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("found `{text}`, expected `auto`, `cpu` or `cuda:N`")),
        }
    }
}
