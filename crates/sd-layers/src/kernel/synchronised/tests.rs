use std::sync::Barrier;
use std::sync::Mutex;
use std::thread;

use tch::{Device, nn};

use super::*;
use crate::{BatchNorm, channels_last};
use tch::nn::ModuleT;

/// Sums over two threads, in place of two processes.
#[derive(Default)]
struct Two {
    sums: Mutex<Vec<Tensor>>,
}

impl Two {
    fn sum(&self, barrier: &Barrier, tensor: &Tensor) {
        self.sums.lock().unwrap().push(tensor.copy());
        barrier.wait();
        let sum = self.sums.lock().unwrap().iter().map(Tensor::shallow_clone).sum::<Tensor>();
        barrier.wait();
        self.sums.lock().unwrap().clear();
        barrier.wait();
        tensor.shallow_clone().copy_(&sum);
    }
}

/// Output, gradients of input, scale and shift, and running statistics of a batch norm of `map`, with
/// the gradient Σ y · direction.
fn trained(
    map: &Tensor,
    direction: &Tensor,
    build: fn(&nn::Path, i64) -> BatchNorm,
    kind: Kind,
) -> Vec<Tensor> {
    let mut vs = nn::VarStore::new(Device::Cpu);
    let norm = build(&vs.root(), map.size()[1]);
    if kind == Kind::Double {
        vs.double();
    }
    let weight = Tensor::linspace(0.5, 2.0, map.size()[1], (kind, Device::Cpu));
    tch::no_grad(|| vs.variables()["weight"].shallow_clone().copy_(&weight));
    let map = map.copy().set_requires_grad(true);
    let output = norm.forward_t(&map, true);
    (&output * direction).sum(None).backward();
    let all = vs.variables();
    let of = |name: &str| all[name].shallow_clone();
    vec![
        output.detach(),
        map.grad(),
        of("weight").grad(),
        of("bias").grad(),
        of("running_mean"),
        of("running_var"),
    ]
}

/// Two halves of a batch, synchronised, have the numbers of the whole batch.
#[test]
fn two_processes_normalise_as_one() {
    let builds: [fn(&nn::Path, i64) -> BatchNorm; 4] =
        [BatchNorm::new, BatchNorm::relu, BatchNorm::relu6, BatchNorm::relu_max_pool];
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::Double, 1e-12)] {
        let values = |count: i64, offset: f64| {
            (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.7 + offset).sin().to_kind(kind)
        };
        let map = channels_last(&(values(8 * 6 * 4 * 4, 0.1).view([8, 6, 4, 4]) + 3.0));
        for (number, build) in builds.into_iter().enumerate() {
            let side = if number == 3 { 2 } else { 4 };
            let direction = values(8 * 6 * side * side, 0.4).view([8, 6, side, side]);
            let whole = trained(&map, &direction, build, kind);
            let (two, barrier) = (Arc::new(Two::default()), Arc::new(Barrier::new(2)));
            let halves: Vec<Vec<Tensor>> = thread::scope(|scope| {
                let start = |half: i64| {
                    let part = |all: &Tensor| channels_last(&all.narrow(0, half * 4, 4));
                    let (map, direction) = (part(&map), part(&direction));
                    let (two, barrier) = (Arc::clone(&two), Arc::clone(&barrier));
                    scope.spawn(move || {
                        let sum = move |tensor: &Tensor| two.sum(&barrier, tensor);
                        let _synchronised = synchronise_batch_norm(2, sum);
                        trained(&map, &direction, build, kind)
                    })
                };
                let started = [0, 1].map(start);
                started.into_iter().map(|half| half.join().unwrap()).collect()
            });
            for (at, whole) in whole.iter().enumerate() {
                let [first, second] = [&halves[0][at], &halves[1][at]];
                let found = match at {
                    0 | 1 => Tensor::cat(&[first, second], 0),
                    2 | 3 => first + second,
                    _ => first.shallow_clone(),
                };
                let difference = (&found - whole).abs().max().double_value(&[]);
                let largest = whole.abs().max().double_value(&[]);
                assert!(
                    difference <= tolerance * largest,
                    "{kind:?}, norm {number}, result {at}: {difference} of {largest}"
                );
            }
            assert!(current().is_none());
        }
    }
}
