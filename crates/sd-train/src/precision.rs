//! Which number format a network is trained and evaluated in.

use anyhow::Result;
use schemars::JsonSchema;
use sd_layers::Precision;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::config::Experiment;
use crate::count::deployed_cost;

/// Number format of feature maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionConfig {
    /// The faster one for the network on the device, see [`Experiment::precision`].
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
}

/// Multiply-accumulates of an image from which on a network is faster in `bf16` on the CPU. Two
/// threads, AVX-512 and AMX: with 1.6 M its step took 1.13 times as long as in `f32`, with 17.9 M as
/// long, with 18.6 M and more (six networks) 0.28 to 0.83 times. Measured, see
/// `docs/architecture.md`.
const BF16_PAYS_FROM: u64 = 10_000_000;

impl Experiment {
    /// The number format that `train.precision` means on `device`. `auto` is [`Precision::Bf16`]
    /// where the device computes it faster, on a CPU for networks of at least 10 million
    /// multiply-accumulates an image alone: what a smaller one saves, casting its weights takes.
    ///
    /// # Errors
    /// If the network does not build.
    pub fn precision(&self, device: Device) -> Result<Precision> {
        Ok(match self.train.precision {
            PrecisionConfig::F32 => Precision::F32,
            PrecisionConfig::Bf16 => Precision::Bf16,
            PrecisionConfig::Auto => {
                let macs = deployed_cost(&self.model, self.task())?.macs;
                let is_small = device == Device::Cpu && macs < BF16_PAYS_FROM;
                if is_small { Precision::F32 } else { Precision::fastest_on(device) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_small_network_is_f32_and_a_large_one_what_the_processor_is_fast_in() {
        let grouped = "configs/cifar100/vgg11-grouped8-light.toml";
        let precision = |changes: &[&str]| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(grouped);
            let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
            let experiment = Experiment::read(&path, &changes, None).unwrap();
            experiment.precision(Device::Cpu).unwrap()
        };
        assert_eq!(precision(&[]), Precision::fastest_on(Device::Cpu));
        assert_eq!(precision(&["model.backbone.vgg.width=0.25"]), Precision::F32);
        let asked = ["model.backbone.vgg.width=0.25", "train.precision=bf16"];
        assert_eq!(precision(&asked), Precision::Bf16);
        assert_eq!(precision(&["train.precision=f32"]), Precision::F32);
    }
}
