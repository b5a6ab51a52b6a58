//! Classifiers on feature maps: the shallow exits, and the head after the last stage.

mod bottleneck;
mod byot;
mod chain;
mod classifier;
mod head;
mod light;
mod scan;
mod tpami;

pub use classifier::{Classifier, ExitOutput};
pub use head::Head;

use schemars::JsonSchema;
use sd_layers::{AttentionConfig, FeatureShape, Linear, Sequential};
use sd_variants::variants;
use serde::{Deserialize, Serialize};
use tch::nn;

use crate::Result;

/// A kind of shallow classifier: a body before global average pool and a linear layer.
pub trait ExitKind {
    /// Builds the body: `[N, C, H, W]` to `[N, D, H', W']`.
    ///
    /// # Errors
    /// Names the layer that does not fit.
    fn body(&self, vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Sequential>;

    /// The attention that the body starts with.
    fn attention(&self) -> AttentionConfig;

    /// A short description, such as `light (eca)`.
    fn describe(&self) -> String;
}

variants! {
    /// A kind of shallow classifier. In TOML: `"byot"`, `"scan"`, `"tpami"`,
    /// `{ light = { attention = { eca = {} } } }`, `{ chain = { attention = { eca = {} } } }`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub enum ExitConfig: ExitKind {
        /// The bottleneck of Be Your Own Teacher.
        Byot = byot::Byot,
        /// SCAN's attention and the bottleneck.
        Scan = scan::Scan,
        /// The attention and separable convolutions of SCAN's journal version.
        Tpami = tpami::Tpami,
        Light(light::LightConfig),
        Chain(chain::ChainConfig),
    }
}

/// The place of a shallow classifier in a network.
#[derive(Debug, Clone, Copy)]
pub struct ExitGeometry {
    /// Shape of the classifier's input.
    pub map: FeatureShape,
    /// Shape of the map after the last stage; its channels are D, the width of every feature.
    pub last: FeatureShape,
    /// K.
    pub classes: i64,
}

impl ExitConfig {
    /// Builds the classifier.
    ///
    /// # Errors
    /// Names the layer that does not fit.
    pub fn build(&self, vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Classifier> {
        let body = self.get().body(vs, geometry)?;
        let linear = Linear::new(&(vs / "linear"), geometry.last.channels, geometry.classes);
        Ok(Classifier { body, side: 1, hidden: vec![], linear })
    }
}

/// Exits on stages of a backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExitsConfig {
    /// The stages with an exit, from 1, increasing, without the last stage, whose head is always
    /// there.
    pub after: Vec<usize>,
    /// Kind of the exits.
    pub kind: ExitConfig,
    /// The exits, from 1, increasing, with an adapter: a linear layer D to D on the feature, for an
    /// objective that compares it with the deepest exit's. Only training uses adapters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<usize>,
    /// Gradient that the exits give to the trunk. Only training uses it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trunk_gradient: TrunkGradient,
}

/// Gradient that the shallow exits give to the trunk, the stages that they are on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrunkGradient {
    /// The gradients of all exits, added.
    #[default]
    Sum,
    /// Gradient equilibrium (Li et al. 2019, <https://arxiv.org/abs/1908.06294>): a stage learns
    /// from the mean of the exits on it and after it in place of their sum.
    Equilibrium,
    /// None: the trunk learns from the deepest exit alone.
    Detached,
}

impl TrunkGradient {
    /// Factors of the gradients that the exit's body and the following stages give to the exit's
    /// map, for an exit with `following` exits after it. The deepest has none.
    pub(crate) fn factors(self, following: usize) -> (f64, f64) {
        match self {
            _ if following == 0 => (1.0, 1.0),
            Self::Sum => (1.0, 1.0),
            Self::Equilibrium => {
                let exits = following as f64 + 1.0;
                (1.0 / exits, following as f64 / exits)
            }
            Self::Detached => (0.0, 1.0),
        }
    }
}

fn is_default(gradient: &TrunkGradient) -> bool {
    *gradient == TrunkGradient::default()
}

impl ExitsConfig {
    /// Exits without adapters.
    pub fn new(after: Vec<usize>, kind: ExitConfig) -> Self {
        Self { after, kind, adapters: vec![], trunk_gradient: TrunkGradient::Sum }
    }

    /// Checks `after` against a network of this many stages, and `adapters` against `after`.
    pub(crate) fn check(&self, stages: usize) -> Result<()> {
        for (key, found, last) in [
            ("exits.after", &self.after, stages - 1),
            ("exits.adapters", &self.adapters, self.after.len()),
        ] {
            let increasing = found.windows(2).all(|pair| pair[0] < pair[1]);
            let within = found.iter().all(|number| (1..=last).contains(number));
            if !(increasing && within) {
                return Err(crate::Error::Exits { key, found: found.clone(), last });
            }
        }
        Ok(())
    }
}
