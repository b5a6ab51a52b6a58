use super::*;
use tch::{Device, Kind};

/// Six images of 2×4×5 whose values all are the image's index, and partners 100 above.
fn batch() -> TrainBatch {
    let images = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([6, 1, 1, 1]);
    let images = images.expand([6, 4, 5, 2], false).contiguous().permute([0, 3, 1, 2]);
    TrainBatch {
        partners: Some(&images + 100.0),
        images,
        targets: Targets::new(Tensor::arange(6, (Kind::Int64, Device::Cpu))),
        epoch: 0,
    }
}

#[test]
fn images_partners_and_labels_are_mixed_alike_and_stay_channels_last() {
    for mix in MixConfig::examples() {
        for step in 0..20 {
            let TrainBatch { images, partners, targets, .. } = mix.apply(batch(), 3, step);
            let (means, mixed) = (images.mean_dim([1i64, 2, 3].as_slice(), false, None), &targets);
            // An index is its own label: the mixture of the images is that of the labels.
            let expected = mixed.weighted(|labels| labels.to_kind(Kind::Float));
            assert!((means - expected).abs().max().double_value(&[]) < 1e-5, "{mix:?} {step}");
            let difference = (partners.unwrap() - &images - 100.0).abs().max();
            assert!(difference.double_value(&[]) < 1e-4, "{mix:?} {step}");
            assert!(images.permute([0, 2, 3, 1]).is_contiguous(), "{mix:?} {step}");
        }
    }
}

#[test]
fn a_mixture_depends_on_seed_and_step_alone() {
    for mix in MixConfig::examples() {
        let of = |seed, step| mix.apply(batch(), seed, step).images;
        assert_eq!(of(1, 7), of(1, 7));
        assert_ne!(of(1, 7), of(1, 8));
        assert_ne!(of(1, 7), of(2, 7));
    }
}

#[test]
fn cut_mix_follows_its_probability_and_its_shares_count_pixels() {
    let cut = CutMix { alpha: 1.0, probability: 0.25 };
    let drawn = |step| cut.draw(&mut random::of_mix(0, step), [32, 32]);
    let count = (0..2000).filter(|&step| drawn(step).is_some()).count();
    assert!(count.abs_diff(500) < 80, "{count}");

    let cut = CutMix { alpha: 1.0, probability: 1.0 };
    let shares = (0..2000).map(|step| {
        let drawn = cut.draw(&mut random::of_mix(0, step), [32, 32]).unwrap();
        let Mixture::Rectangle { top, left, height, width } = drawn else { panic!("{drawn:?}") };
        assert!(top >= 0 && left >= 0 && top + height <= 32 && left + width <= 32, "{drawn:?}");
        assert_eq!(drawn.share([32, 32]), 1.0 - (height * width) as f64 / 1024.0);
        drawn.share([32, 32])
    });
    // One half, plus the parts of rectangles that lie outside the image.
    let mean = shares.sum::<f64>() / 2000.0;
    assert!((0.55..0.75).contains(&mean), "{mean}");
}

#[test]
fn mixup_shares_follow_the_beta_distribution() {
    let variance = |alpha| {
        let mixup = Mixup { alpha };
        let share = |step| mixup.draw(&mut random::of_mix(5, step), [1, 1]).unwrap().share([1, 1]);
        (0..4000).map(|step| (share(step) - 0.5).powi(2)).sum::<f64>() / 4000.0
    };
    // The variance of Beta(α, α) is 1 / (4 · (2α + 1)).
    for alpha in [0.2, 1.0, 4.0] {
        let (found, expected) = (variance(alpha), 0.25 / (2.0 * alpha + 1.0));
        assert!((found / expected - 1.0).abs() < 0.1, "{alpha}: {found}, expected {expected}");
    }
}
