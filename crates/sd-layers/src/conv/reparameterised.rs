//! Re-parameterised convolutions: parallel branches with their own batch norm in training, one
//! convolution in evaluation (RepVGG, Ding et al. 2021, <https://arxiv.org/abs/2101.03697>; the
//! depthwise-separable form: MobileOne, Vasu et al. 2023, <https://arxiv.org/abs/2206.04040>).

use sd_onnx::{Graph, Value, int};
use tch::nn::{Module, ModuleT};
use tch::{Kind, Tensor, nn};

use super::{ConvGeometry, ConvKind, Convolution};
use crate::shape::Window;
use crate::{BatchNorm, Block, Cost, FeatureShape, Result, Sequential, kernel, onnx};

/// A dense convolution with a 1×1 and, where the shape stays, an identity branch.
pub struct ReparameterisedDense;

impl ConvKind for ReparameterisedDense {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        Ok(Sequential::new().then(Branches::new(vs, geometry, 1, 1)?))
    }

    fn name(&self) -> String {
        "reparameterised_dense".to_owned()
    }
}

/// A depthwise-separable convolution; the depthwise one has a 1×1 and an identity branch, the
/// pointwise one a second 1×1 and, where the channels stay, an identity branch.
pub struct ReparameterisedSeparable;

impl ConvKind for ReparameterisedSeparable {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let depthwise = ConvGeometry { inputs, outputs: inputs, window };
        let pointwise = ConvGeometry { inputs, outputs, window: Window::same(1, 1) };
        Ok(Sequential::new()
            .then(Branches::new(&(vs / "depthwise"), depthwise, inputs, 1)?)
            .then(BatchNorm::relu(&(vs / "norm"), inputs))
            .then(Branches::new(&(vs / "pointwise"), pointwise, 1, 1)?))
    }

    fn name(&self) -> String {
        "reparameterised_separable".to_owned()
    }
}

/// The sum of batch-normalised branches: a convolution, 1×1 convolutions, the identity.
///
/// In evaluation it is one convolution with a bias, which folds into the batch norm that follows.
#[derive(Debug)]
struct Branches {
    convolutions: Vec<(Convolution, BatchNorm)>,
    identity: Option<BatchNorm>,
    geometry: ConvGeometry,
    groups: i64,
}

impl Branches {
    /// A branch with the geometry's window, `pointwise` 1×1 branches of the same stride, and the
    /// identity if it has the output's shape.
    fn new(vs: &nn::Path, geometry: ConvGeometry, groups: i64, pointwise: usize) -> Result<Self> {
        let ConvGeometry { inputs, outputs, window } = geometry;
        let small = Window { kernel: 1, stride: window.stride, padding: 0 };
        let small = ConvGeometry { window: small, ..geometry };
        let mut convolutions = Vec::new();
        for index in 0..=pointwise {
            let vs = vs / index;
            let geometry = if index == 0 { geometry } else { small };
            let convolution = Convolution::new(&vs, geometry, groups)?;
            convolutions.push((convolution, BatchNorm::new(&(&vs / "norm"), outputs)));
        }
        let keeps_shape = inputs == outputs && window.stride == 1;
        let identity = keeps_shape.then(|| BatchNorm::new(&(vs / "identity"), outputs));
        Ok(Self { convolutions, identity, geometry, groups })
    }

    /// The branches one by one.
    fn sum(&self, input: &Tensor, train: bool) -> Tensor {
        let normed = |(convolution, norm): &(Convolution, BatchNorm)| {
            norm.forward_t(&convolution.forward(input), train)
        };
        let identity = self.identity.iter().map(|norm| norm.forward_t(input, train));
        let branches = self.convolutions.iter().map(normed).chain(identity);
        branches.reduce(|sum, branch| sum + branch).expect("there is a branch")
    }

    /// The kernel and the bias of the one convolution that computes [`Branches::sum`] with the
    /// running statistics.
    fn merged(&self) -> (Tensor, Tensor) {
        let ConvGeometry { inputs, outputs, window } = self.geometry;
        let center = |weight: &Tensor| {
            let border = (window.kernel - weight.size()[3]) / 2;
            weight.constant_pad_nd([border; 4])
        };
        let eye = || {
            let (kind, device) = (Kind::Float, self.convolutions[0].0.weight().device());
            let eye = Tensor::eye(inputs / self.groups, (kind, device));
            eye.repeat([self.groups, 1]).view([outputs, inputs / self.groups, 1, 1])
        };
        let convolutions = self.convolutions.iter().map(|(convolution, norm)| {
            (center(&convolution.weight().to_kind(Kind::Float)), norm.running_affine())
        });
        let identity = self.identity.iter().map(|norm| (center(&eye()), norm.running_affine()));
        let scaled = convolutions
            .chain(identity)
            .map(|(kernel, (scale, shift))| (kernel * scale.view([-1, 1, 1, 1]), shift));
        let add = |(kernel, bias): (Tensor, Tensor), (k, b): (Tensor, Tensor)| (kernel + k, bias + b);
        scaled.reduce(add).expect("there is a branch")
    }
}

impl ModuleT for Branches {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        if train {
            return self.sum(input, true);
        }
        let (weight, bias) = self.merged();
        let output = kernel::convolution(input, &weight, self.geometry.window, self.groups);
        let bias = bias.view([1, -1, 1, 1]).to_kind(output.kind());
        output + bias
    }
}

impl Block for Branches {
    fn output_shape(&self, input: FeatureShape) -> Result<FeatureShape> {
        self.convolutions[0].0.output_shape(input)
    }

    /// The cost of the merged convolution; its bias is part of the batch norm that follows.
    fn cost(&self, input: FeatureShape) -> Result<Cost> {
        self.convolutions[0].0.cost(input)
    }

    fn onnx(&self, graph: &mut Graph, input: &Value, _: FeatureShape) -> Result<Value> {
        let (weight, bias) = self.merged();
        let weight = onnx::whole(graph, sd_onnx::quantize::KERNEL, &weight);
        let bias = onnx::whole(graph, "bias", &bias);
        let mut attributes = onnx::sliding(self.geometry.window);
        attributes.push(int("group", self.groups));
        Ok(graph.node("Conv", &[input, &weight, &bias], attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn merged_and_separate_branches_agree() {
        for (inputs, outputs, kernel, stride, groups) in
            [(8, 8, 3, 1, 1), (8, 16, 3, 2, 1), (8, 8, 3, 1, 8), (8, 8, 1, 1, 1), (8, 8, 3, 1, 4)]
        {
            let vs = nn::VarStore::new(Device::Cpu);
            let window = Window::same(kernel, stride);
            let geometry = ConvGeometry { inputs, outputs, window };
            let branches = Branches::new(&vs.root(), geometry, groups, 1).unwrap();
            let map = || Tensor::randn([4, inputs, 6, 6], (Kind::Float, Device::Cpu)) * 2.0 + 1.0;
            for _ in 0..20 {
                let _ = branches.forward_t(&map(), true);
            }
            let input = map();
            let difference = branches.forward_t(&input, false) - branches.sum(&input, false);
            let difference = difference.abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{difference}: {geometry:?} in {groups} groups");
        }
    }
}
