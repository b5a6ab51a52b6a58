//! Adam with decoupled weight decay (Loshchilov and Hutter 2019,
//! <https://arxiv.org/abs/1711.05101>).

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use sd_layers::AdamWUpdate;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{UpdateRule, UpdateRuleConfig, shared, zeros_like};
use crate::ranges;

/// Adam with decoupled weight decay, PyTorch's `torch.optim.AdamW` with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Weight decay, at least 0, of convolutions and linear layers; biases and batch norm do not
    /// decay.
    pub weight_decay: f64,
    /// Decay rates of the running means of gradients and of squared gradients, each 0 to below 1.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Added to the denominator, above 0.
    #[serde(default = "eps")]
    pub eps: f64,
}

fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn eps() -> f64 {
    1e-8
}

impl UpdateRuleConfig for AdamWConfig {
    fn check(&self) -> Result<()> {
        ranges::non_negative("train.adamw.weight_decay", self.weight_decay)?;
        for beta in self.betas {
            ranges::share_below_one("train.adamw.betas", beta)?;
        }
        ranges::positive("train.adamw.eps", self.eps)
    }

    fn build(&self, parameters: &BTreeMap<String, Tensor>) -> Box<dyn UpdateRule> {
        Box::new(AdamW::new(self.clone(), parameters))
    }
}

/// See [`AdamWUpdate`].
#[derive(Debug)]
struct AdamW {
    config: AdamWConfig,
    mean: BTreeMap<String, Tensor>,
    square: BTreeMap<String, Tensor>,
    /// Number of updates of each parameter.
    steps: BTreeMap<String, Tensor>,
}

impl AdamW {
    fn new(config: AdamWConfig, parameters: &BTreeMap<String, Tensor>) -> Self {
        let steps = |(name, value): (&String, &Tensor)| {
            (name.clone(), Tensor::zeros([], (Kind::Float, value.device())))
        };
        Self {
            config,
            mean: zeros_like(parameters),
            square: zeros_like(parameters),
            steps: parameters.iter().map(steps).collect(),
        }
    }
}

impl UpdateRule for AdamW {
    fn update(&self, parameters: &[(&str, &Tensor, Tensor)], decay: f64, rate: f64) {
        let AdamWConfig { weight_decay, betas, eps } = self.config;
        let weight_decay = decay * weight_decay;
        let rows: Vec<_> = parameters
            .iter()
            .map(|(name, value, gradient)| {
                [*value, gradient, &self.mean[*name], &self.square[*name], &self.steps[*name]]
            })
            .collect();
        AdamWUpdate { weight_decay, betas, eps, rate }.apply(&rows);
    }

    fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)> {
        vec![
            ("mean", shared(&self.mean)),
            ("square", shared(&self.square)),
            ("steps", shared(&self.steps)),
        ]
    }
}
