//! Kernels compared with libtorch's operations, forward and backward.

use tch::{Device, Kind, Tensor};

use super::activation::Activation;
use super::bridge::is_channels_last;
use super::depthwise::depthwise;
use super::im2col::im2col_convolution;
use super::*;
use crate::channels_last;
use crate::shape::Window;

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn norm(channels: i64) -> Norm {
    Norm {
        weight: (Tensor::rand([channels], CPU) + 0.5).set_requires_grad(true),
        bias: Tensor::randn([channels], CPU).set_requires_grad(true),
        running_mean: Tensor::randn([channels], CPU),
        running_var: Tensor::rand([channels], CPU) + 0.5,
        epsilon: 1e-5,
        momentum: 0.1,
    }
}

fn copy(norm: &Norm) -> Norm {
    let leaf = |tensor: &Tensor| tensor.detach().copy().set_requires_grad(true);
    Norm {
        weight: leaf(&norm.weight),
        bias: leaf(&norm.bias),
        running_mean: norm.running_mean.copy(),
        running_var: norm.running_var.copy(),
        ..*norm
    }
}

fn libtorch<A: Activation>(
    map: &Tensor,
    residual: Option<&Tensor>,
    norm: &Norm,
    train: bool,
) -> Tensor {
    let output = map.batch_norm(
        Some(&norm.weight),
        Some(&norm.bias),
        Some(&norm.running_mean),
        Some(&norm.running_var),
        train,
        norm.momentum,
        norm.epsilon,
        true,
    );
    A::in_libtorch(match residual {
        None => output,
        Some(residual) => output + residual,
    })
}

/// Largest difference relative to the largest expected value.
fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    let (found, expected) = (found.to_kind(Kind::Float), expected.to_kind(Kind::Float));
    let scale = expected.abs().max().double_value(&[]).max(1e-12);
    (found - &expected).abs().max().double_value(&[]) / scale
}

/// A map far from zero, which costs digits if a variance is computed carelessly.
fn map(kind: Kind, channels: i64) -> Tensor {
    channels_last(&(Tensor::randn([5, channels, 6, 7], CPU) * 2.0 + 30.0).to_kind(kind))
        .set_requires_grad(true)
}

fn agrees<A: Activation>(kind: Kind, with_residual: bool, tolerance: f64) {
    tch::manual_seed(0);
    for channels in [1, 3, 8, 65] {
        let ours = norm(channels);
        let theirs = copy(&ours);
        let x = map(kind, channels);
        let their_x = x.detach().copy().set_requires_grad(true);
        let residual = with_residual.then(|| map(kind, channels));
        let their_residual = residual.as_ref().map(|r| r.detach().copy().set_requires_grad(true));

        let found = norm_activation::in_training::<A>(&x, residual.as_ref(), &ours);
        let expected = libtorch::<A>(&their_x, their_residual.as_ref(), &theirs, true);
        assert_eq!(found.kind(), kind);
        assert_eq!(found.stride(), x.stride());
        let gradient = Tensor::randn(found.size(), CPU).to_kind(kind);
        (&found * &gradient).sum(Kind::Float).backward();
        (&expected * &gradient).sum(Kind::Float).backward();

        let mut pairs = vec![
            ("output", found.detach(), expected.detach()),
            ("map", x.grad(), their_x.grad()),
            ("weight", ours.weight.grad(), theirs.weight.grad()),
            ("bias", ours.bias.grad(), theirs.bias.grad()),
            (
                "running_mean",
                ours.running_mean.shallow_clone(),
                theirs.running_mean.shallow_clone(),
            ),
            ("running_var", ours.running_var.shallow_clone(), theirs.running_var.shallow_clone()),
        ];
        if let (Some(ours), Some(theirs)) = (&residual, &their_residual) {
            pairs.push(("residual", ours.grad(), theirs.grad()));
        }
        for (what, found, expected) in pairs {
            let difference = difference(&found, &expected);
            assert!(difference < tolerance, "{what} of {channels} channels: {difference}");
        }

        let _no_grad = tch::no_grad_guard();
        let found = norm_activation::in_evaluation::<A>(&x, residual.as_ref(), &ours);
        let expected = libtorch::<A>(&x, residual.as_ref(), &ours, false);
        assert!(difference(&found, &expected) < tolerance, "inference, {channels} channels");
    }
}

#[test]
fn norm_and_activation_agree_with_libtorch() {
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
        agrees::<Identity>(kind, false, tolerance);
        agrees::<Relu>(kind, false, tolerance);
        agrees::<Relu6>(kind, false, tolerance);
    }
}

#[test]
fn norm_sum_and_relu_agree_with_libtorch() {
    agrees::<Relu>(Kind::Float, true, 1e-5);
    agrees::<Relu>(Kind::BFloat16, true, 2e-2);
}

#[test]
fn nothing_is_recorded_without_gradients() {
    let (x, norm) = (map(Kind::Float, 4), norm(4));
    assert!(
        !tch::no_grad(|| norm_activation::in_training::<Relu>(&x, None, &norm)).requires_grad()
    );
    assert!(norm_activation::in_training::<Relu>(&x, None, &norm).requires_grad());
}

#[test]
fn norm_relu_and_max_pool_agree_with_libtorch() {
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
        tch::manual_seed(0);
        for (channels, side) in [(1, 2), (3, 4), (65, 6)] {
            let ours = norm(channels);
            let theirs = copy(&ours);
            let x = channels_last(&Tensor::randn([5, channels, side, 2 * side], CPU).to_kind(kind))
                .set_requires_grad(true);
            let their_x = x.detach().copy().set_requires_grad(true);
            let found = norm_relu_pool::in_training(&x, &ours);
            let expected = libtorch::<Relu>(&their_x, None, &theirs, true).max_pool2d(
                [2, 2],
                [2, 2],
                [0, 0],
                [1, 1],
                false,
            );
            assert_eq!(found.size(), expected.size());
            let gradient = Tensor::randn(found.size(), CPU).to_kind(kind);
            (&found * &gradient).sum(Kind::Float).backward();
            (&expected * &gradient).sum(Kind::Float).backward();
            // libtorch rounds before it pools and takes the first of positions that are equal in bf16;
            // the kernel takes the largest. The sums of their gradients over a window agree.
            let by_window = |gradient: Tensor| match kind {
                Kind::BFloat16 => gradient.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
                _ => gradient,
            };
            for (what, found, expected) in [
                ("output", found.detach(), expected.detach()),
                ("map", by_window(x.grad()), by_window(their_x.grad())),
                ("weight", ours.weight.grad(), theirs.weight.grad()),
                ("bias", ours.bias.grad(), theirs.bias.grad()),
            ] {
                let difference = difference(&found, &expected);
                assert!(
                    difference < tolerance,
                    "{kind:?} {what}, {channels} channels: {difference}"
                );
            }
        }
    }
}

/// Compares a convolution of `[40, channels, side, side + 1]` to `outputs` channels with libtorch's.
fn agrees_on_convolution(
    ours: fn(&Tensor, &Tensor, Window) -> Tensor,
    [channels, outputs, groups]: [i64; 3],
    [side, kernel, stride]: [i64; 3],
    (kind, tolerance): (Kind, f64),
) {
    let window = Window { kernel, stride, padding: kernel / 2 };
    let map = Tensor::randn([40, channels, side, side + 1], CPU).to_kind(kind);
    let x = channels_last(&map).set_requires_grad(true);
    let size = [outputs, channels / groups, kernel, kernel];
    let weight = Tensor::randn(size, CPU).set_requires_grad(true);
    let (their_x, their_weight) =
        (x.detach().copy().set_requires_grad(true), weight.detach().copy().set_requires_grad(true));
    let found = ours(&x, &weight, window);
    let expected = their_x.to_kind(Kind::Float).conv2d(
        &their_weight,
        None::<Tensor>,
        [stride, stride],
        [kernel / 2, kernel / 2],
        [1, 1],
        groups,
    );
    assert_eq!((found.size(), found.kind()), (expected.size(), kind));
    assert!(is_channels_last(&found));
    let gradient = Tensor::randn(found.size(), CPU).to_kind(kind);
    (&found * &gradient).sum(Kind::Float).backward();
    (&expected * &gradient).sum(Kind::Float).backward();
    for (what, found, expected) in [
        ("output", found.detach(), expected.detach()),
        ("map", x.grad(), their_x.grad()),
        ("weight", weight.grad(), their_weight.grad()),
    ] {
        let difference = difference(&found, &expected);
        assert!(difference < tolerance, "{kind:?} {what}, {channels} channels: {difference}");
    }
}

#[test]
fn depthwise_convolution_agrees_with_libtorch() {
    for kind in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
        tch::manual_seed(0);
        for (channels, side, kernel, stride) in
            [(1, 5, 3, 1), (40, 7, 3, 2), (64, 2, 3, 1), (8, 2, 3, 2), (33, 8, 5, 1), (3, 4, 2, 2)]
        {
            agrees_on_convolution(depthwise, [channels; 3], [side, kernel, stride], kind);
        }
    }
}

#[test]
fn products_agree_with_libtorchs_convolution() {
    for kind in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
        tch::manual_seed(0);
        for (channels, outputs, side, kernel, stride) in
            [(3, 8, 4, 3, 1), (16, 5, 2, 3, 1), (8, 8, 4, 3, 2), (7, 9, 3, 2, 2), (4, 6, 1, 5, 1)]
        {
            agrees_on_convolution(
                im2col_convolution,
                [channels, outputs, 1],
                [side, kernel, stride],
                kind,
            );
        }
    }
}

#[test]
fn channel_means_and_scales_agree_with_libtorch() {
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
        tch::manual_seed(0);
        for (channels, side) in [(3, 2), (8, 1), (65, 5)] {
            let map = channels_last(&Tensor::randn([5, channels, side, 2 * side], CPU));
            let x = map.to_kind(kind).set_requires_grad(true);
            let weights = Tensor::rand([5, channels], CPU).to_kind(kind).set_requires_grad(true);
            let (their_x, their_weights) = (
                x.detach().copy().set_requires_grad(true),
                weights.detach().copy().set_requires_grad(true),
            );
            let found = scale_channels(&x, &weights);
            let expected = &their_x * their_weights.unsqueeze(-1).unsqueeze(-1);
            assert_eq!((found.kind(), found.stride()), (kind, x.stride()));
            let (means, their_means) =
                (global_average(&found), expected.mean_dim([2i64, 3].as_slice(), false, None));
            let gradient = Tensor::randn(means.size(), CPU).to_kind(kind);
            (&means * &gradient).sum(Kind::Float).backward();
            (&their_means * &gradient).sum(Kind::Float).backward();
            for (what, found, expected) in [
                ("scaled", found.detach(), expected.detach()),
                ("means", means.detach(), their_means.detach()),
                ("map", x.grad(), their_x.grad()),
                ("weights", weights.grad(), their_weights.grad()),
            ] {
                let difference = difference(&found, &expected);
                assert!(
                    difference < tolerance,
                    "{kind:?} {what}, {channels} channels: {difference}"
                );
            }
        }
    }
}

/// In a separate thread, because the mode stays set.
#[test]
fn denormals_are_flushed_to_zero() {
    let in_thread = std::thread::spawn(|| {
        // Large enough for all of libtorch's threads.
        let smallest = || (Tensor::full([1 << 20], 1e-30, CPU) * 1e-10).max().double_value(&[]);
        let kept = smallest();
        (kept, flush_denormals(), smallest())
    });
    let (kept, can, flushed) = in_thread.join().unwrap();
    assert!(kept > 0.0, "{kept}");
    assert!(can && flushed == 0.0 || !can && flushed == kept, "can {can}, {flushed}");
    assert!(can || !cfg!(target_arch = "x86_64"), "every x86-64 processor can");
}
