//! Two ranks with synchronised batch norm take the steps of a single process, in f64.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use sd_distributed::{Group, Processes, Rendezvous};
use sd_layers::{BatchNorm, synchronise_batch_norm};
use tch::nn::{Module, ModuleT};
use tch::{Device, Kind, Reduction, Tensor, nn};

const STEPS: usize = 10;

/// Numbers that look random, the same in every thread.
fn values(size: &[i64], seed: f64) -> Tensor {
    let count = size.iter().product::<i64>();
    ((Tensor::arange(count, (Kind::Double, Device::Cpu)) + seed) * 12.9898).sin().view(size)
}

/// Losses and parameters of ten steps of gradient descent on this rank's share of eight images.
fn train(processes: &Processes) -> (Vec<f64>, Vec<Tensor>) {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let root = vs.root();
    let same = nn::ConvConfig { padding: 1, ..Default::default() };
    let convolutions = [
        nn::conv2d(&root / "conv1", 3, 8, 3, same),
        nn::conv2d(&root / "conv2", 8, 8, 3, same),
        nn::conv2d(&root / "conv3", 8, 8, 3, same),
    ];
    let norms = [
        BatchNorm::relu_max_pool(&(&root / "norm1"), 8),
        BatchNorm::relu6(&(&root / "norm2"), 8),
        BatchNorm::new(&(&root / "norm3"), 8),
    ];
    let head = nn::linear(&root / "head", 8, 4, Default::default());
    vs.double();
    let mut parameters: Vec<(String, Tensor)> =
        vs.variables().into_iter().filter(|(_, value)| value.requires_grad()).collect();
    parameters.sort_by(|one, other| one.0.cmp(&other.0));
    for ((name, parameter), seed) in parameters.iter_mut().zip(1..) {
        let offset = if name.starts_with("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let start = values(&parameter.size(), f64::from(seed)) * 0.3 + offset;
        tch::no_grad(|| parameter.copy_(&start));
    }
    let share = 8 / processes.count() as i64;
    let first = processes.rank() as i64 * share;
    let images = values(&[8, 3, 8, 8], 0.5).narrow(0, first, share);
    let labels = Tensor::arange(8, (Kind::Int64, Device::Cpu)).remainder(4).narrow(0, first, share);
    let synchronise = || synchronise_batch_norm(processes.count(), processes.sum_later_failing());
    let _synchronised = processes.are_several().then(synchronise);
    let step = |_| {
        let blocks = convolutions.iter().zip(&norms);
        let map = blocks.fold(images.shallow_clone(), |map, (convolution, norm)| {
            norm.forward_t(&convolution.forward(&map), true)
        });
        let logits = head.forward(&map.mean_dim([2i64, 3].as_slice(), false, None));
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
        loss.backward();
        processes.average(parameters.iter().map(|(_, parameter)| parameter.grad())).unwrap();
        let loss = loss.detach();
        processes.average(std::iter::once(loss.shallow_clone())).unwrap();
        let _no_grad = tch::no_grad_guard();
        for (_, parameter) in &parameters {
            let mut gradient = parameter.grad();
            let _ = parameter.shallow_clone().g_sub_(&(&gradient * 0.2));
            let _ = gradient.zero_();
        }
        loss.double_value(&[])
    };
    let losses = (0..STEPS).map(step).collect();
    (losses, parameters.into_iter().map(|(_, parameter)| parameter.detach()).collect())
}

#[test]
fn two_ranks_take_the_steps_of_one_process_in_f64() {
    let (expected, whole) = train(&Processes::single());
    assert!(expected[STEPS - 1] < 0.95 * expected[0], "no training: {expected:?}");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let rank = |rank: usize| {
        let place = Rendezvous {
            rank,
            world_size: 2,
            local_rank: rank,
            local_world_size: None,
            address: "127.0.0.1".to_owned(),
            port,
            launcher_store: None,
        };
        thread::spawn(move || train(&Group::join(place, Duration::from_secs(30)).unwrap().into()))
    };
    for rank in [0, 1].map(rank).map(|rank| rank.join().unwrap()) {
        let (losses, parameters) = rank;
        for (found, expected) in losses.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-9, "{losses:?}");
        }
        for (found, expected) in parameters.iter().zip(&whole) {
            assert!((found - expected).abs().max().double_value(&[]) < 1e-9);
        }
    }
}
