//! Record of where a run happens.

use std::time::SystemTime;

use sd_layers::Precision;
use sd_report::{Environment, Host, rfc3339};
use tch::Device;

use crate::data::device;

/// The machine, the command line and the libraries of this process.
pub fn environment(device: Device, precision: Precision, processes: usize) -> Environment {
    let host = Host::capture();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: host.commit,
        command: format!("cargo xtask {}", arguments.join(" ")),
        started: rfc3339(SystemTime::now()),
        os: host.os,
        cpu: host.cpu,
        cores: host.cores,
        threads: tch::get_num_threads() as usize,
        processes,
        memory_bytes: host.memory_bytes,
        device: device::name(device),
        precision: format!("{precision:?}").to_lowercase(),
        libtorch: sd_layers::libtorch_version().to_owned(),
        earlier: Vec::new(),
    }
}
