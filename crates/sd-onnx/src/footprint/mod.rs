//! Memory and work of a graph, computed from the shapes of its values before anything runs.

mod cost;
mod shape;

use std::collections::{HashMap, HashSet};

use crate::proto::{Dimension, ElementType, GraphProto, NodeProto, TensorProto};
use crate::{Error, Result};
use cost::Cost;

/// Maximum number of nodes. Runtimes plan recursively and would exhaust the stack on a long chain.
const MAX_NODES: usize = 8_192;
/// Maximum number of axes of an input or weight.
const MAX_AXES: usize = 8;

/// Memory and work that a graph needs for an input of a given shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Bytes of the weights, as runtimes pack them: outputs are padded to multiples of 16, and a
    /// weight counts for each node that uses it.
    pub weights: u64,
    /// Largest number of bytes that the values of a run, with the working memory of a node, take at
    /// once if each is freed after its last use.
    pub activations: u64,
    /// Bytes of all values of a run, for runtimes that keep freed memory.
    pub all_values: u64,
    /// Work of a run in multiply-accumulates of a dense convolution. Work that takes longer counts
    /// several times: 32 for a position of a pooling or depthwise window, 64 for a copied value.
    pub work: u64,
}

impl Footprint {
    /// Refuses more than `max_memory` bytes of weights and values, or more work than `max_work`.
    /// `values` is [`activations`](Self::activations) or [`all_values`](Self::all_values).
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Work`].
    pub fn check(&self, values: u64, max_memory: u64, max_work: u64) -> Result<()> {
        let found = self.weights.saturating_add(values);
        if found > max_memory {
            return Err(Error::Memory { found, limit: max_memory });
        }
        if self.work > max_work {
            return Err(Error::Work { found: self.work, limit: max_work });
        }
        Ok(())
    }
}

/// The shapes of all values of a graph, for any shape of its input.
#[derive(Debug, Clone)]
pub struct Shapes {
    input: String,
    /// The declared shape of the input, for one image.
    input_shape: Vec<usize>,
    nodes: Vec<NodeProto>,
    outputs: Vec<String>,
    constants: HashMap<String, Constant>,
}

/// A weight without its values, unless they determine shapes.
#[derive(Debug, Clone)]
struct Constant {
    shape: Vec<usize>,
    longs: Vec<i64>,
    floats: Vec<f32>,
}

/// The shapes of a run.
pub type ShapeMap<'a> = HashMap<&'a str, Vec<usize>>;

impl Shapes {
    /// Reads a graph whose nodes are in execution order.
    ///
    /// # Errors
    /// [`Error::Input`] if the graph does not have exactly one input of known shape `[N, …]`,
    /// [`Error::Nodes`] for too many nodes, [`Error::Tensor`] for a weight that contradicts its shape.
    pub fn new(graph: &GraphProto) -> Result<Self> {
        let wrong = |found: String| Error::Input { found };
        let [input] = &graph.input[..] else {
            return Err(wrong(format!("{} inputs", graph.input.len())));
        };
        if graph.node.len() > MAX_NODES {
            return Err(Error::Nodes { found: graph.node.len(), limit: MAX_NODES });
        }
        let tensor = input.r#type.as_ref().and_then(|value| value.tensor_type.as_ref());
        let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| &shape.dim[..]);
        let side = |dim: &Dimension| usize::try_from(dim.dim_value?).ok();
        let sides = match dims {
            Some([_, sides @ ..]) if sides.len() < MAX_AXES => {
                sides.iter().map(side).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        let sides = sides.ok_or_else(|| wrong(format!("{} of unknown shape", input.name)))?;
        let constant = |weight: &TensorProto| Ok((weight.name.clone(), Constant::new(weight)?));
        Ok(Self {
            input: input.name.clone(),
            input_shape: [1].into_iter().chain(sides).collect(),
            nodes: graph.node.clone(),
            outputs: graph.output.iter().map(|output| output.name.clone()).collect(),
            constants: graph.initializer.iter().map(constant).collect::<Result<_>>()?,
        })
    }

    /// The declared shape of the input, with one image.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Infers the shapes of all values, and the footprint, for an input of this shape.
    ///
    /// # Errors
    /// [`Error::Operator`] for a node whose output shape cannot be computed in advance,
    /// [`Error::Shapes`] for one that does not accept the shapes of its inputs.
    pub fn infer(&self, input: &[usize]) -> Result<(ShapeMap<'_>, Footprint)> {
        if input.contains(&0) {
            return Err(Error::Input { found: format!("shape {input:?}") });
        }
        let mut shapes: ShapeMap<'_> = self
            .constants
            .iter()
            .map(|(name, constant)| (name.as_str(), constant.shape.clone()))
            .collect();
        shapes.insert(&self.input, input.to_vec());
        let mut values = LiveValues::new(&self.nodes, &self.outputs);
        values.add(&self.input, bytes(input));
        let mut footprint = Footprint { all_values: values.live, ..Footprint::default() };
        for (index, node) in self.nodes.iter().enumerate() {
            let missing = Vec::new();
            let inputs: Vec<&[usize]> = node
                .input
                .iter()
                .map(|name| &shapes.get(&**name).unwrap_or(&missing)[..])
                .collect();
            let failed = || Error::Shapes {
                node: describe(node),
                found: inputs.iter().map(|shape| shape.to_vec()).collect(),
            };
            let outputs = shape::infer(node, &inputs, &self.constants)?.ok_or_else(failed)?;
            let is_constant = |name: &str| self.constants.contains_key(name);
            let cost = Cost::of(node, &inputs, &outputs, is_constant).ok_or_else(failed)?;
            footprint.work = footprint.work.saturating_add(cost.work);
            footprint.weights = footprint.weights.saturating_add(cost.weights);
            for (name, shape) in node.output.iter().zip(outputs) {
                values.add(name, bytes(&shape));
                footprint.all_values = footprint.all_values.saturating_add(bytes(&shape));
                shapes.insert(name, shape);
            }
            footprint.all_values = footprint.all_values.saturating_add(cost.scratch);
            let now = values.live.saturating_add(cost.scratch);
            footprint.activations = footprint.activations.max(now);
            values.free_unused_after(index);
        }
        Ok((shapes, footprint))
    }
}

impl Constant {
    fn new(weight: &TensorProto) -> Result<Self> {
        let wrong = || weight.wrong_size();
        let side = |&side: &i64| usize::try_from(side).ok();
        let shape = weight.dims.iter().map(side).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let width = match ElementType::try_from(weight.data_type) {
            Ok(ElementType::Uint8 | ElementType::Int8) => 1,
            Ok(ElementType::Float | ElementType::Int32) => 4,
            Ok(ElementType::Int64) => 8,
            _ => return Err(wrong()),
        };
        if shape.len() > MAX_AXES {
            return Err(wrong());
        }
        let len = shape.iter().try_fold(width, |len: usize, &side| len.checked_mul(side));
        if len != Some(weight.raw_data.len()) {
            return Err(wrong());
        }
        // Shapes have few axes.
        let is_short = shape.len() <= 1 && weight.raw_data.len() <= 8 * 16;
        let (mut longs, mut floats) = (Vec::new(), Vec::new());
        if is_short && weight.data_type == ElementType::Int64 as i32 {
            longs = weight.raw_data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect();
        } else if is_short && weight.data_type == ElementType::Float as i32 {
            floats = weight.to_floats()?;
        }
        Ok(Self { shape, longs, floats })
    }
}

/// Bytes of the values that are still needed.
struct LiveValues<'a> {
    /// Values whose last use is each node.
    unused_after: Vec<Vec<&'a str>>,
    bytes: HashMap<&'a str, u64>,
    live: u64,
}

impl<'a> LiveValues<'a> {
    fn new(nodes: &'a [NodeProto], outputs: &'a [String]) -> Self {
        let mut last_use: HashMap<&str, usize> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            // A node's own output is unused after it if no other node needs it.
            for name in node.input.iter().chain(&node.output) {
                last_use.insert(name, index);
            }
        }
        let outputs: HashSet<&str> = outputs.iter().map(String::as_str).collect();
        let mut unused_after = vec![Vec::new(); nodes.len()];
        for (name, index) in last_use.into_iter().filter(|(name, _)| !outputs.contains(name)) {
            unused_after[index].push(name);
        }
        Self { unused_after, bytes: HashMap::new(), live: 0 }
    }

    fn add(&mut self, name: &'a str, bytes: u64) {
        self.live = self.live.saturating_add(bytes);
        self.bytes.insert(name, bytes);
    }

    fn free_unused_after(&mut self, node: usize) {
        for name in &self.unused_after[node] {
            self.live = self.live.saturating_sub(self.bytes.remove(name).unwrap_or_default());
        }
    }
}

/// Operator and name of a node.
fn describe(node: &NodeProto) -> String {
    format!("{} {}", node.op_type, node.name)
}

/// Number of values; saturates.
fn elements(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &side| product.saturating_mul(side as u64))
}

/// Bytes of 32-bit values; saturates.
fn bytes(shape: &[usize]) -> u64 {
    elements(shape).saturating_mul(4)
}

#[cfg(test)]
mod tests;
