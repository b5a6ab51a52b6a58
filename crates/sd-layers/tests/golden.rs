//! Layers against PyTorch: output, gradients and running statistics from the same weights
//! (`scripts/golden/layers.py`).

#[path = "golden/cases.rs"]
mod cases;

use cases::Case;
use sd_layers::{
    AttentionConfig, BatchNorm, BatchNormRelu, Block, ConvConfig, ConvGeometry, EcaConfig,
    GroupedConfig, Linear, SimAmConfig, SqueezeExciteConfig, Window, channels_last,
};
use tch::nn::ModuleT;
use tch::{Device, nn};

const TRAIN: bool = true;
const EVAL: bool = false;

fn agrees<M: ModuleT>(name: &str, train: bool, build: impl Fn(&nn::Path) -> M) {
    let case = Case::read(env!("CARGO_MANIFEST_DIR"), "layers.safetensors", name);
    let input = case.get("input");
    let mut layouts = vec![input.copy()];
    if input.dim() == 4 {
        layouts.push(channels_last(&input));
    }
    for input in layouts {
        let vs = nn::VarStore::new(Device::Cpu);
        let layer = build(&vs.root());
        case.load(vs.variables());
        let input = input.set_requires_grad(true);
        let output = layer.forward_t(&input, train);
        case.agrees("output", &output);
        (output * case.get("upstream")).sum(None).backward();
        case.agrees("input_gradient", &input.grad());
        let variables = vs.variables();
        let gradients = case.named("gradients");
        assert_eq!(gradients.len(), vs.trainable_variables().len(), "{name}");
        for variable in gradients.keys() {
            case.agrees(&format!("gradients/{variable}"), &variables[variable].grad());
        }
        for variable in case.named("after").keys() {
            case.agrees(&format!("after/{variable}"), &variables[variable]);
        }
    }
}

fn convolution(config: &ConvConfig, stride: i64) -> impl Fn(&nn::Path) -> Box<dyn Block> {
    let geometry = ConvGeometry { inputs: 8, outputs: 12, window: Window::same(3, stride) };
    move |vs| config.build(vs, geometry).unwrap()
}

fn attention(config: &AttentionConfig) -> impl Fn(&nn::Path) -> Box<dyn Block> {
    move |vs| config.build(vs, 8).unwrap()
}

#[test]
fn convolutions_are_pytorchs() {
    let grouped = |shuffle| ConvConfig::Grouped(GroupedConfig { groups: 4, shuffle });
    let separable = ConvConfig::DepthwiseSeparable;
    agrees("dense", TRAIN, convolution(&ConvConfig::Dense, 2));
    agrees("grouped", TRAIN, convolution(&grouped(false), 1));
    agrees("grouped_shuffled", TRAIN, convolution(&grouped(true), 2));
    agrees("depthwise_separable", TRAIN, convolution(&separable, 2));
    agrees("depthwise_separable_eval", EVAL, convolution(&separable, 2));
}

#[test]
fn attentions_are_their_papers_formulas() {
    let squeeze_excite = SqueezeExciteConfig { reduction: 2 };
    agrees("eca", TRAIN, attention(&AttentionConfig::Eca(EcaConfig::default())));
    agrees("simam", TRAIN, attention(&AttentionConfig::Simam(SimAmConfig::default())));
    agrees("squeeze_excite", TRAIN, attention(&AttentionConfig::SqueezeExcite(squeeze_excite)));
}

#[test]
fn norms_and_the_linear_layer_are_pytorchs() {
    agrees("batch_norm", TRAIN, |vs| BatchNorm::new(vs, 8));
    agrees("batch_norm_eval", EVAL, |vs| BatchNorm::new(vs, 8));
    agrees("batch_norm_relu", TRAIN, |vs| BatchNormRelu::new(vs, 8));
    agrees("batch_norm_relu_eval", EVAL, |vs| BatchNormRelu::new(vs, 8));
    agrees("linear", TRAIN, |vs| Linear::new(vs, 8, 5));
}
