//! Stochastic gradient descent with Nesterov momentum, its state in named tensors so that it can
//! be saved (`tch`'s optimiser cannot).

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use sd_layers::{SgdUpdate, forget_gradient};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Configuration of [`Sgd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// Share of the last update kept, 0 to below 1.
    pub momentum: f64,
    /// Look ahead along the momentum (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Pull towards zero, on weights of convolutions and linear layers alone: not on biases and
    /// batch norm.
    pub weight_decay: f64,
}

impl SgdConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            (0.0..1.0).contains(&self.momentum),
            "train.sgd.momentum is {}, expected 0 to below 1",
            self.momentum
        );
        ensure!(
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            "train.sgd.weight_decay is {}, expected at least 0",
            self.weight_decay
        );
        Ok(())
    }
}

/// PyTorch's `torch.optim.SGD`, see [`SgdUpdate`].
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug)]
struct Parameter {
    value: Tensor,
    momentum: Tensor,
    decays: bool,
}

impl Sgd {
    /// An optimiser of all trainable variables of `vs`.
    pub fn new(vs: &nn::VarStore, config: SgdConfig) -> Self {
        let trainable = vs.variables().into_iter().filter(|(_, value)| value.requires_grad());
        let parameters = trainable
            .map(|(name, value)| {
                let momentum = value.zeros_like().detach();
                let decays = value.dim() > 1;
                (name, Parameter { value, momentum, decays })
            })
            .collect();
        Self { config, parameters }
    }

    /// Forgets the gradients.
    pub fn forget_gradients(&self) {
        for parameter in self.parameters.values() {
            forget_gradient(&parameter.value);
        }
    }

    /// One update at this learning rate. A parameter without a gradient stays.
    pub fn step(&self, rate: f64) {
        let SgdConfig { momentum, nesterov, weight_decay } = self.config;
        for (decays, weight_decay) in [(true, weight_decay), (false, 0.0)] {
            let group = self.parameters.values().filter(|parameter| parameter.decays == decays);
            let gradients: Vec<(&Parameter, Tensor)> = group
                .map(|parameter| (parameter, parameter.value.grad()))
                .filter(|(_, gradient)| gradient.defined())
                .collect();
            let parameters: Vec<_> = gradients
                .iter()
                .map(|(parameter, gradient)| (&parameter.value, gradient, &parameter.momentum))
                .collect();
            SgdUpdate { weight_decay, momentum, rate, nesterov }.apply(&parameters);
        }
    }

    /// The momentum of each parameter, by the parameter's name. The tensors are the optimiser's
    /// own: what is copied into them is its state.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let momentum = |(name, parameter): (&String, &Parameter)| {
            (name.clone(), parameter.momentum.shallow_clone())
        };
        self.parameters.iter().map(momentum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::OptimizerConfig;
    use tch::{Device, Kind};

    /// The loss Σ (w·x − 1)², on weights that both optimisers start from.
    fn run(mut step: impl FnMut(&nn::VarStore, &Tensor)) -> Tensor {
        let vs = nn::VarStore::new(Device::Cpu);
        // Not random: tests that run at once share libtorch's generator.
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
    fn fifty_steps_are_libtorchs() {
        let mut ours = None;
        let found = run(|vs, loss| {
            let config = SgdConfig { momentum: 0.9, nesterov: true, weight_decay: 5e-4 };
            let sgd = ours.get_or_insert_with(|| Sgd::new(vs, config));
            sgd.forget_gradients();
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

    #[test]
    fn biases_and_norms_do_not_decay_and_a_changed_rate_changes_the_step() {
        let vs = nn::VarStore::new(Device::Cpu);
        let bias = vs.root().var("bias", &[2], nn::Init::Const(1.0));
        let weight = vs.root().var("weight", &[2, 1], nn::Init::Const(1.0));
        let config = SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.5 };
        let sgd = Sgd::new(&vs, config);
        ((bias.sum(None) + weight.sum(None)) * 0.0).backward();
        sgd.step(0.1);
        assert_eq!(bias.double_value(&[0]), 1.0);
        assert!((weight.double_value(&[0, 0]) - 0.95).abs() < 1e-6);
        sgd.step(0.2);
        assert!((weight.double_value(&[0, 0]) - 0.855).abs() < 1e-6);
    }
}
