//! SimAM (Yang et al. 2021, <https://proceedings.mlr.press/v139/yang21o.html>).

use schemars::JsonSchema;
use sd_onnx::{Graph, Value};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::Attention;
use crate::onnx::{scalar, scaled_by_sigmoid};
use crate::{Block, Cost, Error, FeatureShape, Result, Sequential};

/// Attention without parameters: each neuron scaled by σ of its inverse energy, a function of its
/// distance from the channel's mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimAmConfig {
    /// λ of the energy function, positive; the paper's 1e-4.
    pub lambda: f64,
}

impl Default for SimAmConfig {
    fn default() -> Self {
        Self { lambda: 1e-4 }
    }
}

impl Attention for SimAmConfig {
    fn build(&self, _: &nn::Path, _: i64) -> Result<Sequential> {
        if !(self.lambda > 0.0 && self.lambda.is_finite()) {
            let (key, found) = ("simam.lambda", self.lambda.to_string());
            return Err(Error::Value { key, found, expected: "a number above 0" });
        }
        Ok(Sequential::new().then(SimAm { lambda: self.lambda }))
    }
}

#[derive(Debug)]
struct SimAm {
    lambda: f64,
}

impl nn::Module for SimAm {
    /// The inverse of equation 5's energy, refined by equation 6. A map of one position has no
    /// variance: its weight is σ(½).
    fn forward(&self, input: &Tensor) -> Tensor {
        let size = input.size();
        let others = (size[2] * size[3] - 1).max(1) as f64;
        let axes = [2i64, 3];
        let distance = (input - input.mean_dim(axes.as_slice(), true, None)).square();
        let variance = distance.sum_dim_intlist(axes.as_slice(), true, None) / others;
        let inverse_energy = distance / ((variance + self.lambda) * 4.0) + 0.5;
        input * inverse_energy.sigmoid()
    }
}

impl Block for SimAm {
    fn cost(&self, _: FeatureShape) -> Result<Cost> {
        Ok(Cost::ZERO)
    }

    /// The sum over a channel is its mean times its positions.
    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let positions = shape.positions() as f64;
        let others = (positions - 1.0).max(1.0);
        let mean = graph.node("GlobalAveragePool", &[input], vec![]);
        let centred = graph.node("Sub", &[input, &mean], vec![]);
        let distance = graph.node("Mul", &[&centred, &centred], vec![]);
        let spread = graph.node("GlobalAveragePool", &[&distance], vec![]);
        let factor = scalar(graph, "simam_factor", 4.0 * positions / others);
        let scaled = graph.node("Mul", &[&spread, &factor], vec![]);
        let lambda = scalar(graph, "simam_lambda", 4.0 * self.lambda);
        let scaled = graph.node("Add", &[&scaled, &lambda], vec![]);
        let inverse_energy = graph.node("Div", &[&distance, &scaled], vec![]);
        let half = scalar(graph, "simam_half", 0.5);
        let inverse_energy = graph.node("Add", &[&inverse_energy, &half], vec![]);
        Ok(scaled_by_sigmoid(graph, input, &inverse_energy))
    }
}
