//! Re-parameterised convolutions: parallel branches in training that merge into one convolution
//! (RepVGG, Ding et al. 2021, <https://arxiv.org/abs/2101.03697>; the depthwise-separable form:
//! MobileOne, Vasu et al. 2023, <https://arxiv.org/abs/2206.04040>).

use std::collections::BTreeMap;

use sd_onnx::{Graph, Value};
use tch::nn::ModuleT;
use tch::{Kind, Tensor, nn};

use super::{ConvConfig, ConvGeometry, ConvKind, Convolution};
use crate::norm::EPSILON;
use crate::shape::Window;
use crate::{BatchNorm, Block, Cost, FeatureShape, Result, Sequential};

/// A dense convolution with a 1×1 branch and, where the shape stays, the identity.
pub struct ReparameterisedDense;

impl ConvKind for ReparameterisedDense {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        Ok(Sequential::new().then(Branches::new(vs, geometry, 1)?))
    }

    fn name(&self) -> String {
        "reparameterised_dense".to_owned()
    }

    fn merged(&self) -> Option<ConvConfig> {
        Some(ConvConfig::Dense)
    }
}

/// A depthwise-separable convolution. The depthwise one has a 1×1 branch, the pointwise one a second
/// 1×1, and both the identity where the shape stays.
pub struct ReparameterisedSeparable;

impl ConvKind for ReparameterisedSeparable {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let depthwise = ConvGeometry { inputs, outputs: inputs, window };
        let pointwise = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        Ok(Sequential::new()
            .then(Branches::new(&(vs / "depthwise"), depthwise, inputs)?)
            .then(BatchNorm::relu(&(vs / "norm"), inputs))
            .then(Branches::new(&(vs / "pointwise"), pointwise, 1)?))
    }

    fn name(&self) -> String {
        "reparameterised_separable".to_owned()
    }

    fn merged(&self) -> Option<ConvConfig> {
        Some(ConvConfig::DepthwiseSeparable)
    }
}

/// The sum of branches, each with its own batch norm: a convolution, a 1×1 convolution, the identity.
#[derive(Debug)]
struct Branches {
    convolutions: [(Convolution, BatchNorm); 2],
    identity: Option<BatchNorm>,
}

impl Branches {
    fn new(vs: &nn::Path, geometry: ConvGeometry, groups: i64) -> Result<Self> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let branch = |name, window| -> Result<_> {
            let (vs, geometry) = (vs / name, ConvGeometry { window, ..geometry });
            let convolution = Convolution::new(&(&vs / "conv"), geometry, groups)?;
            Ok((convolution, BatchNorm::new(&(&vs / "norm"), outputs)))
        };
        let pointwise = Window { kernel: 1, stride: window.stride, padding: 0 };
        let convolutions = [branch("branch0", window)?, branch("branch1", pointwise)?];
        let keeps_shape = inputs == outputs && window.stride == 1;
        let identity = keeps_shape.then(|| BatchNorm::new(&(vs / "identity"), outputs));
        Ok(Self { convolutions, identity })
    }
}

impl ModuleT for Branches {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let [first, second] = self
            .convolutions
            .each_ref()
            .map(|(convolution, norm)| norm.forward_t(&convolution.forward_t(input, train), train));
        match &self.identity {
            Some(norm) => first + second + norm.forward_t(input, train),
            None => first + second,
        }
    }
}

impl Block for Branches {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.convolutions[0].0.output_shape(input)
    }

    /// The cost of the merged convolution.
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.convolutions[0].0.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, shape: FeatureShape) -> Result<Value> {
        let output = self.output_shape(shape)?;
        let mut sum: Option<Value> = None;
        let mut add = |graph: &mut Graph, branch: Value| {
            sum = Some(match sum.take() {
                Some(sum) => graph.node("Add", &[&sum, &branch], vec![]),
                None => branch,
            });
        };
        for (convolution, norm) in &self.convolutions {
            let convolved = convolution.onnx(graph, input, shape)?;
            let branch = norm.onnx(graph, &convolved, output)?;
            add(graph, branch);
        }
        if let Some(norm) = &self.identity {
            let branch = norm.onnx(graph, input, shape)?;
            add(graph, branch);
        }
        Ok(sum.expect("there are branches"))
    }
}

/// Merges the branches of re-parameterised convolutions among the variables of a network. Returns the
/// variables of the network with the kinds that [`ConvKind::merged`] names, which computes the same in
/// evaluation. Other variables stay.
///
/// With its running statistics a branch is a convolution with a bias: its kernel w · γ / σ, its bias
/// β − μ · γ / σ. Kernels and biases add up. A bias lowers the running mean of the batch norm that
/// follows.
///
/// # Panics
/// If a variable of a convolution with branches, or of the batch norm that follows it, is missing.
pub fn merge_branches(mut variables: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let _no_grad = tch::no_grad_guard();
    let first = ".branch0.conv.weight";
    let paths = variables.keys().filter_map(|name| name.strip_suffix(first));
    for path in paths.map(str::to_owned).collect::<Vec<_>>() {
        let of_branches = ["branch0.", "branch1.", "identity."].map(|of| format!("{path}.{of}"));
        let is_branch = |name: &str| of_branches.iter().any(|prefix| name.starts_with(prefix));
        let mut branches = BTreeMap::new();
        variables.retain(|name, variable| {
            let keeps = !is_branch(name);
            if !keeps {
                branches.insert(name[path.len() + 1..].to_owned(), variable.shallow_clone());
            }
            keeps
        });
        let (kernel, bias) = merged(&branches);
        variables.insert(format!("{path}.weight"), kernel);
        let mean = format!("{}.running_mean", norm_after(&path));
        let lowered = &variables[&mean] - bias;
        variables.insert(mean, lowered);
    }
    variables
}

/// Kernel and bias of the sum of branches with these variables.
fn merged(branches: &BTreeMap<String, Tensor>) -> (Tensor, Tensor) {
    let kernel = &branches["branch0.conv.weight"];
    let size = kernel.size();
    let side = size[2];
    let pointwise = &branches["branch1.conv.weight"];
    let mut sum = (kernel.zeros_like(), Tensor::zeros([size[0]], (Kind::Float, kernel.device())));
    let mut add = |kernel: &Tensor, norm: &str| {
        let of = |name: &str| &branches[&format!("{norm}.{name}")];
        let scale = of("weight") / (of("running_var") + EPSILON).sqrt();
        let bias = of("bias") - of("running_mean") * &scale;
        let border = (side - kernel.size()[2]) / 2;
        let scaled = kernel.constant_pad_nd([border; 4]) * scale.view([-1, 1, 1, 1]);
        sum = (&sum.0 + scaled, &sum.1 + bias);
    };
    add(kernel, "branch0.norm");
    add(pointwise, "branch1.norm");
    if branches.contains_key("identity.weight") {
        // Output channel i takes input channel i: of its group, number i modulo the group's size.
        let channels = Tensor::arange(size[0], (Kind::Int64, kernel.device())).remainder(size[1]);
        let eye = channels.one_hot(size[1]).to_kind(Kind::Float);
        add(&eye.view([size[0], size[1], 1, 1]), "identity");
    }
    sum
}

/// Path of the batch norm that follows the convolution at `path`: `block.norm2` that of `block.conv2`
/// and of its pointwise part, `block.conv2.norm` that of its depthwise part.
fn norm_after(path: &str) -> String {
    if let Some(conv) = path.strip_suffix(".depthwise") {
        return format!("{conv}.norm");
    }
    let conv = path.strip_suffix(".pointwise").unwrap_or(path);
    let (block, name) = conv.rsplit_once('.').expect("a convolution is in a block");
    format!("{block}.{}", name.replacen("conv", "norm", 1))
}
