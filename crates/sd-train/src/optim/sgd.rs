//! Stochastic gradient descent with Nesterov momentum.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use sd_layers::SgdUpdate;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{UpdateRule, UpdateRuleConfig, shared, zeros_like};
use crate::ranges;

/// Stochastic gradient descent with momentum, PyTorch's `torch.optim.SGD`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// Momentum, 0 to below 1.
    pub momentum: f64,
    /// Nesterov momentum (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Weight decay, at least 0, of convolutions and linear layers; biases and batch norm do not
    /// decay.
    pub weight_decay: f64,
}

impl UpdateRuleConfig for SgdConfig {
    fn check(&self) -> Result<()> {
        ranges::share_below_one("train.sgd.momentum", self.momentum)?;
        ranges::non_negative("train.sgd.weight_decay", self.weight_decay)
    }

    fn build(&self, parameters: &BTreeMap<String, Tensor>) -> Box<dyn UpdateRule> {
        Box::new(Sgd::new(self.clone(), parameters))
    }
}

/// See [`SgdUpdate`].
#[derive(Debug)]
struct Sgd {
    config: SgdConfig,
    momentum: BTreeMap<String, Tensor>,
}

impl Sgd {
    fn new(config: SgdConfig, parameters: &BTreeMap<String, Tensor>) -> Self {
        Self { config, momentum: zeros_like(parameters) }
    }
}

impl UpdateRule for Sgd {
    fn update(&self, parameters: &[(&str, &Tensor, Tensor)], decay: f64, rate: f64) {
        let SgdConfig { momentum, nesterov, weight_decay } = self.config;
        let weight_decay = decay * weight_decay;
        let rows: Vec<_> = parameters
            .iter()
            .map(|(name, value, gradient)| [*value, gradient, &self.momentum[*name]])
            .collect();
        SgdUpdate { weight_decay, momentum, rate, nesterov }.apply(&rows);
    }

    fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)> {
        vec![("momentum", shared(&self.momentum))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Optimiser;
    use super::*;
    use tch::nn::OptimizerConfig;
    use tch::{Device, Kind, nn};

    /// The loss Σ (w·x − 1)², on weights that both optimisers start from.
    fn run(mut step: impl FnMut(&nn::VarStore, &Tensor)) -> Tensor {
        let vs = nn::VarStore::new(Device::Cpu);
        // Not random: parallel tests share libtorch's generator.
        let start = Tensor::linspace(-1, 1, 12, (Kind::Float, Device::Cpu)).view([4, 3]);
        let weight = vs.root().var_copy("w", &start);
        let input = Tensor::arange(3, (Kind::Float, Device::Cpu)) / 3.0;
        for _ in 0..50 {
            let loss = (weight.matmul(&input) - 1.0).square().sum(None);
            step(&vs, &loss);
        }
        weight.detach()
    }

    #[test]
    fn fifty_steps_match_libtorch() {
        let mut ours = None;
        let found = run(|vs, loss| {
            let config = SgdConfig { momentum: 0.9, nesterov: true, weight_decay: 5e-4 };
            let build = || Optimiser::new(vs, &config);
            let sgd = ours.get_or_insert_with(build);
            sgd.zero_grad();
            loss.backward();
            sgd.step(0.05);
        });
        let mut theirs = None;
        let expected = run(|vs, loss| {
            let sgd = nn::Sgd { momentum: 0.9, dampening: 0.0, wd: 5e-4, nesterov: true };
            let sgd = theirs.get_or_insert_with(|| sgd.build(vs, 0.05).unwrap());
            sgd.backward_step(loss);
        });
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    }
}
