//! Optimisers, learning-rate schedules and the moving average of weights.
//!
//! The state of an optimiser is in named tensors, so that it can be saved; that of `tch`'s
//! optimisers cannot.

mod adamw;
mod ema;
mod multipliers;
mod schedule;
mod sgd;

pub use ema::EmaConfig;
pub use multipliers::MultipliersConfig;
pub use schedule::ScheduleConfig;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use sd_layers::zero_grad;
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

/// Lists the optimisers: each has a key of its own in the `[train]` section.
macro_rules! optimisers {
    ($($key:ident: $module:ident::$config:ident),+ $(,)?) => {
        $(pub use $module::$config;)+

        /// The optimiser: exactly one of these.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[allow(missing_docs, reason = "the optimiser's struct has the documentation")]
        pub struct OptimiserConfig {
            $(#[serde(default, skip_serializing_if = "Option::is_none")]
            pub $key: Option<$config>,)+
        }

        impl OptimiserConfig {
            const KEYS: &[&str] = &[$(stringify!($key)),+];

            fn configured(&self) -> Vec<(&'static str, &dyn UpdateRuleConfig)> {
                let mut all: Vec<(_, &dyn UpdateRuleConfig)> = Vec::new();
                $(if let Some(config) = &self.$key {
                    all.push((stringify!($key), config));
                })+
                all
            }
        }
    };
}

optimisers! {
    sgd: sgd::SgdConfig,
    adamw: adamw::AdamWConfig,
}

impl OptimiserConfig {
    /// The optimiser that is configured.
    ///
    /// # Errors
    /// Unless there is exactly one.
    pub fn get(&self) -> Result<&dyn UpdateRuleConfig> {
        match self.configured().as_slice() {
            [(_, config)] => Ok(*config),
            [] => bail!("train has no optimiser, expected {}", quoted(Self::KEYS, "or")),
            several => {
                let keys: Vec<_> = several.iter().map(|(key, _)| *key).collect();
                bail!("train has {}, expected one of them", quoted(&keys, "and"))
            }
        }
    }
}

/// The keys in backticks, the last two joined by a word.
fn quoted(keys: &[&str], word: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    match keys.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The configuration of an optimiser.
pub trait UpdateRuleConfig {
    /// Checks the ranges of its values.
    ///
    /// # Errors
    /// Names the value and its range.
    fn check(&self) -> Result<()>;

    /// The update rule of these parameters, with a new state.
    fn build(&self, parameters: &BTreeMap<String, Tensor>) -> Box<dyn UpdateRule>;
}

/// The rule by which parameters follow their gradients.
pub trait UpdateRule: fmt::Debug {
    /// Updates parameters in place, given by name with their gradients; `decay` multiplies the weight
    /// decay.
    fn update(&self, parameters: &[(&str, &Tensor, Tensor)], decay: f64, rate: f64);

    /// Groups of tensors, by the parameter's name in each.
    fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)>;
}

/// Trainable variables, and the rule that updates them. Weights of convolutions and linear layers
/// decay; biases and batch norm do not.
#[derive(Debug)]
pub struct Optimiser {
    parameters: BTreeMap<String, Tensor>,
    /// Multipliers of weight decay and learning rate, by parameter.
    multipliers: BTreeMap<String, [f64; 2]>,
    rule: Box<dyn UpdateRule>,
}

/// Keeps the divisor from zero, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

impl Optimiser {
    /// An optimiser of all trainable variables of `vs`.
    pub fn new(vs: &nn::VarStore, config: &dyn UpdateRuleConfig) -> Self {
        let parameters: BTreeMap<String, Tensor> =
            vs.variables().into_iter().filter(|(_, value)| value.requires_grad()).collect();
        let rule = config.build(&parameters);
        Self { parameters, multipliers: BTreeMap::new(), rule }.with(&MultipliersConfig::default())
    }

    /// Sets the multipliers of kinds of parameters.
    #[must_use]
    pub fn with(mut self, config: &MultipliersConfig) -> Self {
        let of = |(name, value): (&String, &Tensor)| {
            (name.clone(), [config.decay(value), config.rate(name)])
        };
        self.multipliers = self.parameters.iter().map(of).collect();
        self
    }

    /// Gives the parameters whose names pass `is_slower` this share of the learning rate.
    #[must_use]
    pub fn slower(mut self, is_slower: impl Fn(&str) -> bool, share: f64) -> Self {
        for (name, [_, rate]) in &mut self.multipliers {
            if is_slower(name) {
                *rate *= share;
            }
        }
        self
    }

    /// Resets the gradients.
    pub fn zero_grad(&self) {
        self.parameters.values().for_each(zero_grad);
    }

    /// Gradients of the parameters that have one.
    pub fn gradients(&self) -> impl Iterator<Item = Tensor> {
        self.with_gradients().map(|(.., gradient)| gradient)
    }

    /// Global gradient norm, `[]`.
    pub fn gradient_norm(&self) -> Tensor {
        let _no_grad = tch::no_grad_guard();
        let norms: Vec<Tensor> = self.gradients().map(|gradient| gradient.norm()).collect();
        Tensor::stack(&norms, 0).norm()
    }

    /// Scales all gradients, whose global norm is `norm`, by one factor to a norm of at most
    /// `max_norm`, as `torch.nn.utils.clip_grad_norm_` does (Pascanu et al. 2013,
    /// <https://arxiv.org/abs/1211.5063>). Does not wait for the device.
    pub fn clip(&self, norm: &Tensor, max_norm: f64) {
        let _no_grad = tch::no_grad_guard();
        let factor = ((norm + CLIP_EPSILON).reciprocal() * max_norm).clamp_max(1.0);
        for mut gradient in self.gradients() {
            let _ = gradient.g_mul_(&factor);
        }
    }

    /// Updates the parameters at this learning rate. A parameter without a gradient stays.
    pub fn step(&self, rate: f64) {
        let mut kinds: Vec<[f64; 2]> = self.multipliers.values().copied().collect();
        kinds.sort_by(|a, b| b.partial_cmp(a).expect("numbers"));
        kinds.dedup();
        for [decay, share] in kinds {
            let group: Vec<_> = self
                .with_gradients()
                .filter(|(name, ..)| self.multipliers[*name] == [decay, share])
                .collect();
            if !group.is_empty() {
                self.rule.update(&group, decay, share * rate);
            }
        }
    }

    /// Groups of tensors, by the parameter's name in each. They share storage with the optimiser:
    /// copying into them restores its state.
    pub fn state(&self) -> Vec<(&'static str, BTreeMap<String, Tensor>)> {
        self.rule.state()
    }

    /// Name, value and gradient of each parameter that has one.
    fn with_gradients(&self) -> impl Iterator<Item = (&str, &Tensor, Tensor)> {
        self.parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value, value.grad()))
            .filter(|(.., gradient)| gradient.defined())
    }
}

/// For each parameter a zero tensor of its shape and layout.
fn zeros_like(parameters: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
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
    fn biases_and_norms_do_not_decay_and_the_rate_scales_the_step() {
        let sgd = SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.5 };
        let adamw = AdamWConfig { weight_decay: 0.5, betas: [0.9, 0.999], eps: 1e-8 };
        let configs: [&dyn UpdateRuleConfig; 2] = [&sgd, &adamw];
        for config in configs {
            let vs = nn::VarStore::new(Device::Cpu);
            let bias = vs.root().var("bias", &[2], nn::Init::Const(1.0));
            let weight = vs.root().var("weight", &[2, 1], nn::Init::Const(1.0));
            let optimiser = Optimiser::new(&vs, config);
            ((bias.sum(None) + weight.sum(None)) * 0.0).backward();
            optimiser.step(0.1);
            assert_eq!(bias.double_value(&[0]), 1.0);
            assert!((weight.double_value(&[0, 0]) - 0.95).abs() < 1e-6, "{optimiser:?}");
            optimiser.step(0.2);
            assert!((weight.double_value(&[0, 0]) - 0.855).abs() < 1e-6, "{optimiser:?}");
        }
    }

    #[test]
    fn slower_parameters_take_a_share_of_the_step() {
        let sgd = SgdConfig { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let vs = nn::VarStore::new(Device::Cpu);
        let var = |name: &str, shape: &[i64]| vs.root().var(name, shape, nn::Init::Const(1.0));
        let all = [var("stem_bias", &[2]), var("stem", &[2, 1]), var("head", &[2, 1])];
        let optimiser = Optimiser::new(&vs, &sgd).slower(|name| name.starts_with("stem"), 0.5);
        all.iter().map(|variable| variable.sum(None)).sum::<Tensor>().backward();
        optimiser.step(0.1);
        let found = all.each_ref().map(|variable| variable.max().double_value(&[]));
        for (found, expected) in found.iter().zip([0.95, 0.95, 0.9]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
