//! Convolutions and pools beside the sums that define them.

use super::super::pool::Pool;
use super::*;
use crate::Batch;

/// Small whole numbers: sums are exact in any order.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed) % 11) as f32 - 5.0).collect()
}

fn maps([images, channels, height, width]: [usize; 4]) -> Maps {
    let values = numbers(images * channels * height * width, 1);
    Maps::of(Batch::new(vec![images, channels, height, width], values).unwrap()).unwrap()
}

/// What the window sees of a channel at an output position: the window's places that lie on the
/// map, and the numbers there.
fn slid(
    maps: &Maps,
    window: &Window,
    [image, y, x]: [usize; 3],
    channel: usize,
) -> Vec<(usize, f32)> {
    let mut seen = Vec::new();
    for tap in 0..window.kernel[0] * window.kernel[1] {
        let row = y * window.stride[0] + tap / window.kernel[1];
        let column = x * window.stride[1] + tap % window.kernel[1];
        let inside = (window.before[0]..window.before[0] + maps.height).contains(&row)
            && (window.before[1]..window.before[1] + maps.width).contains(&column);
        if inside {
            let (row, column) = (row - window.before[0], column - window.before[1]);
            let at = (image * maps.height + row) * maps.width + column;
            seen.push((tap, maps.values[at * maps.channels + channel]));
        }
    }
    seen
}

fn windows() -> [Window; 5] {
    let window = |kernel, stride, before, after| Window { kernel, stride, before, after };
    [
        window([1, 1], [1, 1], [0, 0], [0, 0]),
        window([1, 1], [2, 2], [0, 0], [0, 0]),
        window([3, 3], [1, 1], [1, 1], [1, 1]),
        window([3, 2], [2, 1], [2, 0], [1, 1]),
        window([5, 1], [1, 1], [2, 0], [2, 0]),
    ]
}

#[test]
fn convolutions_are_the_sums_that_define_them() {
    // Panels that are not full, and more rows and fewer than are summed together.
    for (size, groups, outputs) in [
        ([2, 6, 7, 5], 1, 20),
        ([2, 6, 7, 5], 2, 8),
        ([1, 6, 3, 4], 6, 6),
        ([2, 35, 3, 4], 35, 35),
        ([1, 6, 3, 4], 6, 12),
        ([3, 1, 9, 3], 1, 1),
    ] {
        let maps = maps(size);
        for window in windows() {
            let (each, taps) = (size[1] / groups, window.kernel[0] * window.kernel[1]);
            let weights = numbers(outputs * each * taps, 3);
            let bias = numbers(outputs, 5);
            let sides = [outputs, each];
            let convolution =
                Convolution::new(window, groups, &weights, sides, &bias, None).unwrap();
            let found = convolution.run(&maps, true, &Shelf::default()).unwrap();
            for (at, &value) in found.values.iter().enumerate() {
                let (place, output) = (at / outputs, at % outputs);
                let position = [
                    place / (found.width * found.height),
                    place / found.width % found.height,
                    place % found.width,
                ];
                let first = output / (outputs / groups) * each;
                let terms = (0..each).flat_map(|channel| {
                    let weights = &weights[(output * each + channel) * taps..][..taps];
                    let seen = slid(&maps, &window, position, first + channel);
                    seen.into_iter().map(|(tap, number)| number * weights[tap])
                });
                let expected = (bias[output] + terms.sum::<f32>()).max(0.0);
                assert_eq!(value, expected, "{size:?} {groups} {window:?} {position:?}");
            }
        }
    }
}

#[test]
fn pools_take_the_largest_on_the_map_and_the_mean_with_zeros_around_it() {
    let maps = maps([2, 3, 7, 5]);
    for window in windows() {
        let [max, mean] = [Pool::Max, Pool::Mean]
            .map(|pool| pool.run(&window, &maps, &Shelf::default()).unwrap());
        for at in 0..max.values.len() {
            let (place, channel) = (at / 3, at % 3);
            let position = [
                place / (max.width * max.height),
                place / max.width % max.height,
                place % max.width,
            ];
            let seen = slid(&maps, &window, position, channel);
            let numbers = || seen.iter().map(|&(_, number)| number);
            assert_eq!(max.values[at], numbers().fold(f32::NEG_INFINITY, f32::max));
            let taps = (window.kernel[0] * window.kernel[1]) as f32;
            assert!((mean.values[at] - numbers().sum::<f32>() / taps).abs() < 1e-5);
        }
    }
}

#[test]
fn numbers_that_do_not_fit_are_no_convolution() {
    let [window, ..] = windows();
    let new = |window, groups, outputs| {
        Convolution::new(window, groups, &[0.0; 6], [outputs, 2], &[0.0; 3], None).is_some()
    };
    assert!(new(window, 1, 3) && new(window, 3, 3));
    assert!(!new(window, 2, 3) && !new(window, 0, 3) && !new(window, 1, 4));
    assert!(!new(Window { stride: [0, 1], ..window }, 1, 3));
    assert!(!new(Window { before: [1, 0], ..window }, 1, 3));
    let small = maps([1, 2, 1, 1]);
    assert!(
        Pool::Max.run(&Window { kernel: [2, 2], ..window }, &small, &Shelf::default()).is_none()
    );
}
