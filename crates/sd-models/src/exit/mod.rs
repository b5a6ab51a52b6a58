//! Classifiers on feature maps: the shallow ones, and the head after the last stage.

mod byot;
mod chain;
mod head;
mod light;
mod pooled;
mod scan;
mod tpami;

pub use chain::ChainConfig;
pub use head::Head;
pub use light::LightConfig;
pub use pooled::Pooled;

use schemars::JsonSchema;
use sd_layers::{AttentionConfig, Cost, EcaConfig, FeatureShape};
use sd_onnx::{Graph, Value};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use crate::Result;

/// What a classifier says of a batch.
#[derive(Debug)]
pub struct ExitOutput {
    /// What the classifier's last layer sees, `[N, D]`; the same D at every exit.
    pub feature: Tensor,
    /// `[N, K]`, not normalised.
    pub logits: Tensor,
}

/// A classifier on a feature map `[N, C, H, W]`.
pub trait Exit: std::fmt::Debug + Send {
    /// Feature and logits.
    fn forward(&self, map: &Tensor, train: bool) -> ExitOutput;

    /// What it costs on a map of this shape.
    ///
    /// # Errors
    /// Says which layer does not fit.
    fn cost(&self, map: FeatureShape) -> sd_layers::Result<Cost>;

    /// Writes what the classifier computes in evaluation, on `map` of this shape, into an ONNX
    /// graph, and gives its logits `[N, K]`.
    ///
    /// # Errors
    /// Names a layer that cannot be written.
    fn onnx(&self, graph: &mut Graph, map: &Value, shape: FeatureShape)
    -> sd_layers::Result<Value>;
}

/// A kind of shallow classifier. In TOML: `"byot"`, `"scan"`, `"tpami"`,
/// `{ light = { attention = { eca = {} } } }`, `{ chain = { attention = { eca = {} } } }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitConfig {
    /// The bottleneck of Be Your Own Teacher.
    Byot,
    /// SCAN's attention and the bottleneck.
    Scan,
    /// The attention and separable convolutions of SCAN's journal version.
    Tpami,
    /// Attention, a cheap reduction, global pool, linear.
    Light(LightConfig),
    /// Attention, a separable convolution for each halving passed over, global pool, linear.
    Chain(ChainConfig),
}

/// What a shallow classifier is built for.
#[derive(Debug, Clone, Copy)]
pub struct ExitGeometry {
    /// Shape of the map it hangs on.
    pub map: FeatureShape,
    /// Shape of the map after the last stage; its channels are D, the width of every feature.
    pub last: FeatureShape,
    /// K.
    pub classes: i64,
}

impl ExitConfig {
    /// The classifier.
    ///
    /// # Errors
    /// Says which layer does not fit.
    pub fn build(&self, vs: &nn::Path, geometry: ExitGeometry) -> sd_layers::Result<Box<dyn Exit>> {
        Ok(match self {
            Self::Byot => Box::new(byot::byot(vs, geometry)?),
            Self::Scan => Box::new(scan::scan(vs, geometry)?),
            Self::Tpami => Box::new(tpami::tpami(vs, geometry)?),
            Self::Light(config) => Box::new(config.build(vs, geometry)?),
            Self::Chain(config) => Box::new(config.build(vs, geometry)?),
        })
    }

    /// Its kind in a word or two.
    pub fn describe(&self) -> String {
        match self {
            Self::Byot => "byot".to_owned(),
            Self::Scan => "scan".to_owned(),
            Self::Tpami => "tpami".to_owned(),
            Self::Light(config) => format!("light ({})", config.attention.name()),
            Self::Chain(config) => format!("chain ({})", config.attention.name()),
        }
    }

    /// The attention that it begins with.
    pub fn attention(&self) -> AttentionConfig {
        match self {
            Self::Byot => AttentionConfig::None,
            Self::Scan => AttentionConfig::Scan,
            Self::Tpami => AttentionConfig::Tpami,
            Self::Light(config) => config.attention.clone(),
            Self::Chain(config) => config.attention.clone(),
        }
    }

    /// One of each kind, the light one with each attention and the chain with ECA, for tests that
    /// hold for all and for tables of costs.
    pub fn examples() -> Vec<Self> {
        let light = |attention| Self::Light(LightConfig::new(attention));
        let attentions = AttentionConfig::examples();
        let parents = [Self::Byot, Self::Scan, Self::Tpami];
        let eca = AttentionConfig::Eca(EcaConfig::default());
        let chain = Self::Chain(ChainConfig { attention: eca });
        parents.into_iter().chain(attentions.into_iter().map(light)).chain([chain]).collect()
    }
}

/// Exits on stages of a backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExitsConfig {
    /// The stages they hang on, from 1, increasing; the head after the last stage is no part of
    /// the list.
    pub after: Vec<usize>,
    /// Their kind.
    pub kind: ExitConfig,
    /// The exits, from 1, increasing, whose feature also goes through a linear layer D to D, for
    /// an objective that compares it with the deepest exit's. It serves training alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<usize>,
}

impl ExitsConfig {
    /// Exits without adapters.
    pub fn new(after: Vec<usize>, kind: ExitConfig) -> Self {
        Self { after, kind, adapters: vec![] }
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
