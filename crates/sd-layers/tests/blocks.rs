//! What holds for every convolution and every attention: the cost it tells is the cost it has.

use sd_layers::{
    AttentionConfig, Block, ConvConfig, ConvGeometry, Error, FeatureShape, GroupedConfig, Window,
};
use tch::{Device, Kind, Tensor, nn};

fn agrees(name: &str, build: impl Fn(&nn::Path) -> Box<dyn Block>, outputs: i64, side: i64) {
    tch::manual_seed(1);
    let vs = nn::VarStore::new(Device::Cpu);
    let block = build(&vs.root());
    let input = Tensor::randn([2, 16, 8, 8], (Kind::Float, Device::Cpu));
    let output = block.forward_t(&input, true);
    assert_eq!(output.size(), [2, outputs, side, side], "{name}");

    let (cost, shape) = block.cost(FeatureShape::new(16, 8, 8)).unwrap();
    assert_eq!(shape, FeatureShape::new(outputs, side, side), "{name}");
    let elements: usize = vs.trainable_variables().iter().map(Tensor::numel).sum();
    assert_eq!(cost.params, elements as u64, "{name}");
    assert!(vs.variables().keys().all(|name| !name.contains("__")), "{name}");

    if elements > 0 {
        (output * Tensor::randn([2, outputs, side, side], (Kind::Float, Device::Cpu)))
            .sum(None)
            .backward();
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
fn every_convolution_counts_and_learns() {
    for config in ConvConfig::examples() {
        let geometry = ConvGeometry { inputs: 16, outputs: 32, window: Window::same(3, 2) };
        agrees(&config.name(), |vs| config.build(vs, geometry).unwrap(), 32, 4);
    }
}

#[test]
fn every_attention_counts_learns_and_keeps_the_shape() {
    for config in AttentionConfig::examples() {
        agrees(config.name(), |vs| config.build(vs, 16).unwrap(), 16, 8);
    }
}

#[test]
fn blocks_compute_in_the_type_of_their_input_and_keep_its_layout() {
    for config in ConvConfig::examples() {
        let vs = nn::VarStore::new(Device::Cpu);
        let geometry = ConvGeometry { inputs: 16, outputs: 32, window: Window::same(3, 1) };
        let block = config.build(&vs.root(), geometry).unwrap();
        let input = Tensor::randn([2, 16, 4, 4], (Kind::BFloat16, Device::Cpu));
        let output = block.forward_t(&sd_layers::channels_last(&input), true);
        assert_eq!(output.kind(), Kind::BFloat16, "{}", config.name());
        assert_eq!(output.stride()[1], 1, "{}", config.name());
    }
}

#[test]
fn groups_that_do_not_divide_are_an_error_that_names_both_numbers() {
    let vs = nn::VarStore::new(Device::Cpu);
    let geometry = ConvGeometry { inputs: 12, outputs: 16, window: Window::same(3, 1) };
    let config = ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle: false });
    let error = config.build(&vs.root(), geometry).unwrap_err();
    assert!(matches!(error, Error::Groups { channels: 12, groups: 8, .. }));
    assert_eq!(error.to_string(), "input channels 12 do not divide by groups 8");
}
