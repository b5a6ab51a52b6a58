//! The objective, the optimiser and a whole step of a small network.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sd_bench::Steps;
use sd_layers::{Precision, channels_last};
use sd_models::{ExitOutput, ExitOutputs, MultiExit};
use sd_train::data::Targets;
use sd_train::experiment::Experiment;
use sd_train::optim::{AdamWConfig, Optimiser, UpdateRuleConfig};
use tch::{Device, Kind, Tensor, nn};

const CONFIG: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/cifar100/vgg11-grouped8-light.toml");
const BATCH: i64 = 128;

/// Five exits of a full-size network, forward and backward.
fn objective(criterion: &mut Criterion) {
    let experiment = experiment(0.25, "f32");
    let targets = targets(BATCH);
    let exit = || {
        let rows = |width| Tensor::randn([BATCH, width], (Kind::Float, Device::Cpu));
        let [feature, logits] = [512, 100].map(|width| rows(width).set_requires_grad(true));
        ExitOutput { feature, logits }
    };
    let outputs =
        ExitOutputs { shallow: (0..4).map(|_| exit()).collect(), deepest: exit(), adapted: vec![] };
    criterion.bench_function("objective/self_distillation", |bencher| {
        bencher.iter(|| experiment.objective.get().loss(&outputs, &targets).total().backward());
    });
}

/// An update of every variable of the network at full width, by optimiser.
fn optimiser(criterion: &mut Criterion) {
    let experiment = experiment(1.0, "f32");
    let sgd = experiment.train.optimiser.get().expect("the experiment has one");
    let adamw = AdamWConfig { weight_decay: 0.05, betas: [0.9, 0.999], eps: 1e-8 };
    let rules: [(_, &dyn UpdateRuleConfig); 2] = [("sgd", sgd), ("adamw", &adamw)];
    for (name, config) in rules {
        let (vs, network) = built(&experiment);
        let optimiser = Optimiser::new(&vs, config);
        let outputs = network.forward_exits(&images(2), true);
        experiment.objective.get().loss(&outputs, &targets(2)).total().backward();
        criterion.bench_function(&format!("optimiser/{name}"), |bencher| {
            bencher.iter(|| optimiser.step(1e-3));
        });
    }
}

/// A quarter of the width, so that what is not arithmetic shows. `bf16` only where
/// `precision = "auto"` chooses it: elsewhere it has no kernels.
fn step(criterion: &mut Criterion) {
    let mut precisions = vec!["f32"];
    if Precision::fastest_on(Device::Cpu) == Precision::Bf16 {
        precisions.push("bf16");
    }
    for precision in precisions {
        let experiment = experiment(0.25, precision);
        let mut steps = Steps::new(&experiment, 32, Device::Cpu).expect("the network is valid");
        criterion.bench_function(&format!("step/vgg11 quarter width {precision}"), |bencher| {
            bencher.iter(|| steps.step(&mut ()));
        });
    }
}

fn experiment(width: f64, precision: &str) -> Experiment {
    let changes =
        [format!("model.backbone.vgg.width={width:?}"), format!("train.precision={precision}")];
    Experiment::read(Path::new(CONFIG), &changes, None).expect("the experiment is valid")
}

fn built(experiment: &Experiment) -> (nn::VarStore, MultiExit) {
    let vs = nn::VarStore::new(Device::Cpu);
    let precision = experiment.precision(Device::Cpu).expect("the network is valid");
    let network = MultiExit::build(&vs.root(), &experiment.model, experiment.task(), precision);
    (vs, network.expect("the network is valid"))
}

fn images(batch: i64) -> Tensor {
    channels_last(&Tensor::randn([batch, 3, 32, 32], (Kind::Float, Device::Cpu)))
}

fn targets(batch: i64) -> Targets {
    Targets::new(Tensor::randint(100, [batch], (Kind::Int64, Device::Cpu)))
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = objective, optimiser, step
}
criterion_main!(benches);
