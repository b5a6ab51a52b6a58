//! Number format in which a network is trained and evaluated.

use anyhow::Result;
use schemars::JsonSchema;
use sd_layers::Precision;
use sd_models::{ModelConfig, Task};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::costs::deployed_cost;

/// Number format of feature maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrecisionConfig {
    /// The faster format for the network on the device: `bf16` on CUDA, and on a CPU with AVX-512
    /// for networks of at least 10 million multiply-accumulates per image; else `f32`.
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
}

/// Multiply-accumulates per image above which a network trains faster in `bf16` on the CPU: casting
/// the weights costs a smaller one more than it saves. Measured, see `docs/architecture.md`.
const BF16_MIN_MACS: u64 = 10_000_000;

impl PrecisionConfig {
    /// The number format of this model's feature maps on `device`.
    ///
    /// # Errors
    /// If the network does not build.
    pub fn resolve(self, model: &ModelConfig, task: Task, device: Device) -> Result<Precision> {
        Ok(match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::Auto => {
                let macs = deployed_cost(model, task)?.macs;
                let is_small = device == Device::Cpu && macs < BF16_MIN_MACS;
                if is_small { Precision::F32 } else { Precision::fastest_on(device) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use std::path::Path;

    #[test]
    fn auto_is_f32_for_small_networks_and_the_fastest_format_for_large_ones() {
        let grouped = "configs/cifar100/vgg11-grouped8-light.toml";
        let precision = |changes: &[&str]| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(grouped);
            let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
            let experiment = Experiment::read(&path, &changes, None).unwrap();
            experiment.precision(Device::Cpu).unwrap()
        };
        assert_eq!(precision(&[]), Precision::fastest_on(Device::Cpu));
        assert_eq!(precision(&["model.backbone.vgg.width=0.25"]), Precision::F32);
        let requested = ["model.backbone.vgg.width=0.25", "train.precision=bf16"];
        assert_eq!(precision(&requested), Precision::Bf16);
        assert_eq!(precision(&["train.precision=f32"]), Precision::F32);
    }
}
