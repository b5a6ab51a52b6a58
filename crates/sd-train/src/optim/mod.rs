//! Optimisers: from gradients to an update. Their state is in named tensors, so that it can be
//! saved (`tch`'s optimisers cannot).

mod adamw;
mod sgd;

pub use adamw::AdamWConfig;
pub use sgd::SgdConfig;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use sd_layers::zero_grad;
use tch::{Tensor, nn};

/// Which optimiser, and its values.
#[derive(Debug, Clone, PartialEq)]
pub enum OptimiserConfig {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

impl OptimiserConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Names the value and its range.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(config) => config.check(),
            Self::AdamW(config) => config.check(),
        }
    }

    fn rule(&self, parameters: &BTreeMap<String, Tensor>) -> Box<dyn Rule> {
        match self {
            Self::Sgd(config) => Box::new(sgd::Sgd::new(config.clone(), parameters)),
            Self::AdamW(config) => Box::new(adamw::AdamW::new(config.clone(), parameters)),
        }
    }
}

/// How a parameter follows its gradient.
trait Rule: fmt::Debug {
    /// Updates parameters in place, given by name with their gradients; without weight decay
    /// unless `decays`.
    fn update(&self, parameters: &[(&str, &Tensor, Tensor)], decays: bool, rate: f64);

    /// Groups of tensors, by the parameter's name in each.
    fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)>;
}

/// Trainable variables, and the rule that updates them. Weights of convolutions and linear layers
/// decay; biases and batch norm do not.
#[derive(Debug)]
pub struct Optimiser {
    parameters: BTreeMap<String, Tensor>,
    rule: Box<dyn Rule>,
}

/// Keeps the divisor from zero, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

impl Optimiser {
    /// An optimiser of all trainable variables of `vs`.
    pub fn new(vs: &nn::VarStore, config: &OptimiserConfig) -> Self {
        let parameters: BTreeMap<String, Tensor> =
            vs.variables().into_iter().filter(|(_, value)| value.requires_grad()).collect();
        let rule = config.rule(&parameters);
        Self { parameters, rule }
    }

    /// Forgets the gradients.
    pub fn forget_gradients(&self) {
        self.parameters.values().for_each(zero_grad);
    }

    /// The length `[]` of all gradients as one vector.
    pub fn gradient_norm(&self) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let norms: Vec<Tensor> = self.gradients().map(|(.., gradient)| gradient.norm()).collect();
        Tensor::stack(&norms, 0).norm()
    }

    /// Shortens all gradients, whose length is `norm`, to at most `longest` by one factor, as
    /// `torch.nn.utils.clip_grad_norm_` does (Pascanu et al. 2013,
    /// <https://arxiv.org/abs/1211.5063>). Waits for nothing.
    pub fn clip(&self, norm: &Tensor, longest: f64) {
        let _no_grad = tch::no_grad_guard();
        let factor = ((norm + CLIP_EPSILON).reciprocal() * longest).clamp_max(1.0);
        for (.., mut gradient) in self.gradients() {
            let _ = gradient.g_mul_(&factor);
        }
    }

    /// One update at this learning rate. A parameter without a gradient stays.
    pub fn step(&self, rate: f64) {
        for decays in [true, false] {
            let group: Vec<_> =
                self.gradients().filter(|(_, value, _)| (value.dim() > 1) == decays).collect();
            self.rule.update(&group, decays, rate);
        }
    }

    /// Groups of tensors, by the parameter's name in each. They are the optimiser's own: what is
    /// copied into them is its state.
    pub fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)> {
        self.rule.state()
    }

    /// Name, value and gradient of each parameter that has one.
    fn gradients(&self) -> impl Iterator<Item = (&str, &Tensor, Tensor)> {
        self.parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value, value.grad()))
            .filter(|(.., gradient)| gradient.defined())
    }
}

/// A tensor beside each parameter, of its shape and layout.
fn zeros_beside(parameters: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let zeros = |(name, value): (&String, &Tensor)| (name.clone(), value.zeros_like().detach());
    parameters.iter().map(zeros).collect()
}

/// The same tensors, not copies.
fn shared(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let share = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.shallow_clone());
    tensors.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn biases_and_norms_do_not_decay_and_a_changed_rate_changes_the_step() {
        let sgd = SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.5 };
        let adamw = AdamWConfig { weight_decay: 0.5, betas: [0.9, 0.999], eps: 1e-8 };
        for config in [OptimiserConfig::Sgd(sgd), OptimiserConfig::AdamW(adamw)] {
            let vs = nn::VarStore::new(Device::Cpu);
            let bias = vs.root().var("bias", &[2], nn::Init::Const(1.0));
            let weight = vs.root().var("weight", &[2, 1], nn::Init::Const(1.0));
            let optimiser = Optimiser::new(&vs, &config);
            ((bias.sum(None) + weight.sum(None)) * 0.0).backward();
            optimiser.step(0.1);
            assert_eq!(bias.double_value(&[0]), 1.0);
            assert!((weight.double_value(&[0, 0]) - 0.95).abs() < 1e-6, "{config:?}");
            optimiser.step(0.2);
            assert!((weight.double_value(&[0, 0]) - 0.855).abs() < 1e-6, "{config:?}");
        }
    }
}
