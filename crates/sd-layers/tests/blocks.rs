//! Properties of every convolution and every attention: cost, shape, gradients, precision, layout.

use sd_layers::{
    AttentionConfig, Block, ConvConfig, ConvGeometry, Error, FeatureShape, GroupedConfig,
    Sequential, Window,
};
use tch::nn::ModuleT;
use tch::{Device, Kind, Tensor, nn};

/// The trainable numbers of a block.
fn parameters(build: impl Fn(&nn::Path) -> Sequential) -> usize {
    let vs = nn::VarStore::new(Device::Cpu);
    build(&vs.root());
    vs.trainable_variables().iter().map(Tensor::numel).sum()
}

fn agrees(
    name: &str,
    build: impl Fn(&nn::Path) -> Sequential,
    elements: usize,
    input: FeatureShape,
    output: FeatureShape,
) {
    let batch = |shape: FeatureShape| {
        let size = [2, shape.channels, shape.height, shape.width];
        Tensor::randn(size, (Kind::Float, Device::Cpu))
    };
    tch::manual_seed(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let block = build(&vs.root());
    let result = block.forward_t(&batch(input), true);
    let size = [2, output.channels, output.height, output.width];
    assert_eq!(result.size(), size, "{name}");

    let cost = block.cost(input).unwrap();
    assert_eq!(block.output_shape(input).unwrap(), output, "{name}");
    assert_eq!(cost.params, elements as u64, "{name}");
    assert!(vs.variables().keys().all(|name| !name.contains("__")), "{name}");

    if elements > 0 {
        (result * batch(output)).sum(None).backward();
    }
    for (variable, value) in vs.variables() {
        if value.requires_grad() {
            let gradient = value.grad();
            assert!(gradient.defined(), "{name}: {variable} has no gradient");
            assert!(gradient.abs().max().double_value(&[]) > 0.0, "{name}: {variable}");
        }
    }
}

#[test]
fn every_convolution_has_the_cost_and_gradients_of_its_variables() {
    let geometry = ConvGeometry { inputs: 16, outputs: 32, window: Window::same(3, 2) };
    let (input, output) = (FeatureShape::new(16, 8, 8), FeatureShape::new(32, 4, 4));
    for config in ConvConfig::examples() {
        let build = |vs: &nn::Path| config.get().build(vs, geometry).unwrap();
        // Branches are counted as the convolution that they become.
        let merged = config.get().merged().unwrap_or_else(|| config.clone());
        let elements = parameters(|vs| merged.get().build(vs, geometry).unwrap());
        agrees(&config.get().name(), build, elements, input, output);
    }
}

#[test]
fn every_attention_has_the_cost_and_gradients_of_its_variables_and_keeps_the_shape() {
    for (height, width) in [(8, 8), (7, 5)] {
        let shape = FeatureShape::new(64, height, width);
        for config in AttentionConfig::examples() {
            let build = |vs: &nn::Path| config.get().build(vs, 64).unwrap();
            agrees(&config.to_string(), build, parameters(build), shape, shape);
        }
    }
}

#[test]
fn an_attentions_name_is_its_key_in_toml() {
    for config in AttentionConfig::examples() {
        let name = match serde_json::to_value(&config).unwrap() {
            serde_json::Value::Object(table) => table.keys().next().cloned(),
            name => name.as_str().map(str::to_owned),
        };
        assert_eq!(name.as_deref(), Some(&*config.to_string()));
    }
}

/// A map of one position and a map of zeros, as after ReLU, have no variance to divide by.
#[test]
fn no_attention_divides_by_zero() {
    for config in AttentionConfig::examples() {
        for side in [1, 4] {
            let vs = nn::VarStore::new(Device::Cpu);
            let block = config.get().build(&vs.root(), 64).unwrap();
            let zeros = Tensor::zeros([2, 64, side, side], (Kind::Float, Device::Cpu));
            let input = zeros.set_requires_grad(true);
            let output = block.forward_t(&input, true);
            output.sum(None).backward();
            let finite = |value: &Tensor| value.isfinite().all().int64_value(&[]) == 1;
            assert!(finite(&output) && finite(&input.grad()), "{config}");
        }
    }
}

#[test]
fn blocks_compute_in_the_type_of_their_input_and_keep_its_layout() {
    let window = Window::same(3, 1);
    let geometry = ConvGeometry { inputs: 64, outputs: 32, window };
    let vs = nn::VarStore::new(Device::Cpu);
    let convolutions = ConvConfig::examples().into_iter().enumerate().map(|(number, config)| {
        let block = config.get().build(&(vs.root() / "conv" / number), geometry).unwrap();
        (config.get().name(), block)
    });
    let attentions = AttentionConfig::examples().into_iter().enumerate().map(|(number, config)| {
        let block = config.get().build(&(vs.root() / "attention" / number), 64).unwrap();
        (config.to_string(), block)
    });
    for (name, block) in convolutions.chain(attentions) {
        let input = Tensor::randn([2, 64, 4, 4], (Kind::Float, Device::Cpu));
        let input = sd_layers::channels_last(&input);
        let exact = block.forward_t(&input, false);
        assert_eq!(exact.stride()[1], 1, "{name}");
        for train in [false, true] {
            let output = block.forward_t(&input.to_kind(Kind::BFloat16), train);
            assert_eq!(output.kind(), Kind::BFloat16, "{name}");
            assert_eq!(output.stride()[1], 1, "{name}");
            if !train {
                let difference = (output.to_kind(Kind::Float) - &exact).abs().max();
                let scale = exact.abs().max().double_value(&[]);
                assert!(difference.double_value(&[]) < 0.03 * scale, "{name}: {difference:?}");
            }
        }
    }
}

#[test]
fn values_out_of_range_are_errors_with_key_value_and_range() {
    use sd_layers::*;
    let refused = [
        (
            AttentionConfig::SqueezeExcite(SqueezeExciteConfig { reduction: 0 }),
            "squeeze_excite.reduction is 0, expected at least 1",
        ),
        (
            AttentionConfig::Eca(EcaConfig { kernel: Some(4) }),
            "eca.kernel is 4, expected an odd number of at least 1",
        ),
        (
            AttentionConfig::Cbam(CbamConfig { reduction: -1, kernel: 7 }),
            "cbam.reduction is -1, expected at least 1",
        ),
        (
            AttentionConfig::Cbam(CbamConfig { reduction: 16, kernel: 2 }),
            "cbam.kernel is 2, expected an odd number of at least 1",
        ),
        (
            AttentionConfig::SpatialGroup(SpatialGroupConfig { groups: Some(0) }),
            "spatial_group.groups is 0, expected at least 1",
        ),
        (
            AttentionConfig::SpatialGroup(SpatialGroupConfig { groups: Some(5) }),
            "spatial_group channels 64 do not divide by groups 5",
        ),
        (
            AttentionConfig::Coordinate(CoordinateConfig { reduction: 0 }),
            "coordinate.reduction is 0, expected at least 1",
        ),
        (
            AttentionConfig::Shuffle(ShuffleConfig { groups: Some(0) }),
            "shuffle.groups is 0, expected at least 1",
        ),
        (
            AttentionConfig::Shuffle(ShuffleConfig { groups: Some(64) }),
            "shuffle channels, two halves a group, 64 do not divide by groups 128",
        ),
        (
            AttentionConfig::Triplet(TripletConfig { kernel: -3 }),
            "triplet.kernel is -3, expected an odd number of at least 1",
        ),
        (
            AttentionConfig::Simam(SimAmConfig { lambda: 0.0 }),
            "simam.lambda is 0, expected a number above 0",
        ),
        (
            AttentionConfig::Simam(SimAmConfig { lambda: f64::NAN }),
            "simam.lambda is NaN, expected a number above 0",
        ),
    ];
    for (config, message) in refused {
        let vs = nn::VarStore::new(Device::Cpu);
        let error = config.get().build(&vs.root(), 64).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn groups_that_do_not_divide_are_an_error_with_both_numbers() {
    let vs = nn::VarStore::new(Device::Cpu);
    let geometry = ConvGeometry { inputs: 12, outputs: 16, window: Window::same(3, 1) };
    let config = ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false });
    let error = config.get().build(&vs.root(), geometry).unwrap_err();
    assert!(matches!(error, Error::Groups { channels: 12, groups: 8, .. }));
    assert_eq!(error.to_string(), "input channels 12 do not divide by groups 8");
}
