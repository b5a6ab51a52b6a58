//! Each convolution, each attention and batch norm: forward, and forward with backward.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sd_layers::{
    AttentionConfig, BatchNorm, ConvConfig, ConvGeometry, GroupedConfig, Precision, Sequential,
    Window, channels_last,
};
use tch::nn::ModuleT;
use tch::{Device, Kind, Tensor, nn};

/// A map in the middle of a network on images of 32×32.
const MAP: [i64; 4] = [32, 128, 16, 16];

fn convolutions(criterion: &mut Criterion) {
    let grouped = |shuffle| ConvConfig::Grouped(GroupedConfig { groups: 8, shuffle });
    let geometry = ConvGeometry { inputs: MAP[1], outputs: MAP[1], window: Window::same(3, 1) };
    for (name, config) in [
        ("dense", ConvConfig::Dense),
        ("grouped8", grouped(false)),
        ("grouped8 shuffled", grouped(true)),
        ("depthwise_separable", ConvConfig::DepthwiseSeparable),
    ] {
        measure(criterion, &format!("convolution/{name}"), |vs| {
            config.get().build(vs, geometry).expect("128 channels divide by 8")
        });
    }
}

fn attention(criterion: &mut Criterion) {
    for config in AttentionConfig::examples() {
        measure(criterion, &format!("attention/{}", config), |vs| {
            config.get().build(vs, MAP[1]).expect("the examples are valid")
        });
    }
}

fn batch_norm(criterion: &mut Criterion) {
    measure(criterion, "batch_norm", |vs| Sequential::new().then(BatchNorm::new(vs, MAP[1])));
}

fn measure(criterion: &mut Criterion, name: &str, build: impl Fn(&nn::Path) -> Sequential) {
    let vs = nn::VarStore::new(Device::Cpu);
    let block = build(&vs.root());
    let mut group = criterion.benchmark_group(name);
    for precision in precisions() {
        let map = channels_last(&Tensor::randn(MAP, (precision.kind(), Device::Cpu)));
        let map = map.set_requires_grad(true);
        let named = format!("{precision:?}").to_lowercase();
        group.bench_function(format!("forward {named}"), |bencher| {
            let _no_grad = tch::no_grad_guard();
            bencher.iter(|| block.forward_t(&map, true));
        });
        group.bench_function(format!("forward and backward {named}"), |bencher| {
            bencher.iter(|| block.forward_t(&map, true).sum(Kind::Float).backward());
        });
    }
    group.finish();
}

/// `bf16` only where it has kernels: elsewhere it is no choice.
fn precisions() -> Vec<Precision> {
    match Precision::fastest_on(Device::Cpu) {
        Precision::F32 => vec![Precision::F32],
        Precision::Bf16 => vec![Precision::F32, Precision::Bf16],
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = convolutions, attention, batch_norm
}
criterion_main!(benches);
