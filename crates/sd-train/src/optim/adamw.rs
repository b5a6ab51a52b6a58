//! Adam with decoupled weight decay (Loshchilov and Hutter 2019,
//! <https://arxiv.org/abs/1711.05101>).

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use sd_layers::{AdamWParameter, AdamWUpdate};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{Rule, shared, zeros_beside};

/// Adam with decoupled weight decay, PyTorch's `torch.optim.AdamW` with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Pull towards zero, on weights of convolutions and linear layers alone: not on biases and
    /// batch norm.
    pub weight_decay: f64,
    /// Shares kept of the mean of gradients and of the mean of their squares, each 0 to below 1.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Added to the root of the mean square, which divides; above 0.
    #[serde(default = "eps")]
    pub eps: f64,
}

fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn eps() -> f64 {
    1e-8
}

impl AdamWConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            "train.adamw.weight_decay is {}, expected at least 0",
            self.weight_decay
        );
        ensure!(
            self.betas.iter().all(|beta| (0.0..1.0).contains(beta)),
            "train.adamw.betas are {:?}, expected two numbers from 0 to below 1",
            self.betas
        );
        ensure!(
            self.eps > 0.0 && self.eps.is_finite(),
            "train.adamw.eps is {}, expected above 0",
            self.eps
        );
        Ok(())
    }
}

/// See [`AdamWUpdate`].
#[derive(Debug)]
pub(super) struct AdamW {
    config: AdamWConfig,
    mean: BTreeMap<String, Tensor>,
    square: BTreeMap<String, Tensor>,
    /// Updates of each parameter, which may have begun later than others.
    steps: BTreeMap<String, Tensor>,
}

impl AdamW {
    pub(super) fn new(config: AdamWConfig, parameters: &BTreeMap<String, Tensor>) -> Self {
        let steps = |(name, value): (&String, &Tensor)| {
            (name.clone(), Tensor::zeros([], (Kind::Float, value.device())))
        };
        Self {
            config,
            mean: zeros_beside(parameters),
            square: zeros_beside(parameters),
            steps: parameters.iter().map(steps).collect(),
        }
    }
}

impl Rule for AdamW {
    fn update(&self, parameters: &[(&str, &Tensor, Tensor)], decays: bool, rate: f64) {
        let AdamWConfig { weight_decay, betas, eps } = self.config;
        let weight_decay = if decays { weight_decay } else { 0.0 };
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value, gradient)| AdamWParameter {
                value,
                gradient,
                mean: &self.mean[*name],
                square: &self.square[*name],
                steps: &self.steps[*name],
            })
            .collect();
        AdamWUpdate { weight_decay, betas, eps, rate }.apply(&parameters);
    }

    fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)> {
        vec![
            ("mean", shared(&self.mean)),
            ("square", shared(&self.square)),
            ("steps", shared(&self.steps)),
        ]
    }
}
