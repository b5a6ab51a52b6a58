//! Layers compared with PyTorch: output, gradients and running statistics from the same weights
//! (`scripts/golden/layers.py`, `attention.py`).

use sd_golden::Case;
use sd_layers::{
    AttentionConfig as Attention, BatchNorm, CbamConfig, ConvConfig, ConvGeometry,
    CoordinateConfig, EcaConfig, GroupedConfig, Linear, Sequential, ShuffleConfig, SimAmConfig,
    SpatialGroupConfig, SqueezeExciteConfig, TripletConfig, Window, channels_last,
};
use tch::nn::ModuleT;
use tch::{Device, nn};

const TRAIN: bool = true;
const EVAL: bool = false;

fn agrees<M: ModuleT>(name: &str, train: bool, build: impl Fn(&nn::Path) -> M) {
    agrees_with("layers.safetensors", name, train, build);
}

fn agrees_with<M: ModuleT>(file: &str, name: &str, train: bool, build: impl Fn(&nn::Path) -> M) {
    let case = Case::read(env!("CARGO_MANIFEST_DIR"), file, name);
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

fn convolution(config: &ConvConfig, stride: i64) -> impl Fn(&nn::Path) -> Sequential {
    let geometry = ConvGeometry { inputs: 8, outputs: 12, window: Window::same(3, stride) };
    move |vs| config.get().build(vs, geometry).unwrap()
}

#[test]
fn convolutions_agree_with_pytorch() {
    let grouped = |shuffle| ConvConfig::Grouped(GroupedConfig { groups: 4, shuffle });
    let separable = ConvConfig::DepthwiseSeparable;
    agrees("dense", TRAIN, convolution(&ConvConfig::Dense, 2));
    agrees("grouped", TRAIN, convolution(&grouped(false), 1));
    agrees("grouped_shuffled", TRAIN, convolution(&grouped(true), 2));
    agrees("depthwise_separable", TRAIN, convolution(&separable, 2));
    agrees("depthwise_separable_eval", EVAL, convolution(&separable, 2));
}

#[test]
fn attentions_agree_with_their_papers_formulas() {
    let cbam = |reduction, kernel| Attention::Cbam(CbamConfig { reduction, kernel });
    let spatial_group = |groups| Attention::SpatialGroup(SpatialGroupConfig { groups });
    let coordinate = Attention::Coordinate(CoordinateConfig::default());
    let shuffle = |groups| Attention::Shuffle(ShuffleConfig { groups });
    let triplet = |kernel| Attention::Triplet(TripletConfig { kernel });
    let cases = [
        ("eca", TRAIN, Attention::Eca(EcaConfig::default())),
        ("simam", TRAIN, Attention::Simam(SimAmConfig::default())),
        ("squeeze_excite", TRAIN, Attention::SqueezeExcite(SqueezeExciteConfig { reduction: 2 })),
        ("cbam", TRAIN, cbam(2, 7)),
        ("cbam_kernel_3", TRAIN, cbam(4, 3)),
        ("spatial_group", TRAIN, spatial_group(None)),
        ("spatial_group_of_2", TRAIN, spatial_group(Some(4))),
        ("coordinate", TRAIN, coordinate.clone()),
        ("coordinate_eval", EVAL, coordinate),
        ("shuffle", TRAIN, shuffle(None)),
        ("shuffle_2", TRAIN, shuffle(Some(2))),
        ("triplet", TRAIN, triplet(7)),
        ("triplet_eval_kernel_3", EVAL, triplet(3)),
        ("scan", TRAIN, Attention::Scan),
        ("scan_odd", TRAIN, Attention::Scan),
        ("scan_eval", EVAL, Attention::Scan),
        ("tpami", TRAIN, Attention::Tpami),
        ("tpami_odd", TRAIN, Attention::Tpami),
        ("tpami_eval", EVAL, Attention::Tpami),
    ];
    for (name, train, config) in cases {
        agrees_with("attention.safetensors", name, train, |vs| config.get().build(vs, 8).unwrap());
    }
}

#[test]
fn norms_and_the_linear_layer_agree_with_pytorch() {
    agrees("batch_norm", TRAIN, |vs| BatchNorm::new(vs, 8));
    agrees("batch_norm_eval", EVAL, |vs| BatchNorm::new(vs, 8));
    agrees("batch_norm_relu", TRAIN, |vs| BatchNorm::relu(vs, 8));
    agrees("batch_norm_relu_eval", EVAL, |vs| BatchNorm::relu(vs, 8));
    agrees("linear", TRAIN, |vs| Linear::new(vs, 8, 5));
}
