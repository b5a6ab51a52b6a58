//! Convolutions and pooling against their definitions.

use super::super::pool::Pool;
use super::*;
use crate::Batch;

/// Small integers: `f32` sums of them are exact in any order.
fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7919 + seed) % 11) as f32 - 5.0).collect()
}

fn tensor([images, channels, height, width]: [usize; 4]) -> Tensor {
    let values = values(images * channels * height * width, 1);
    Tensor::from_batch(Batch::new(vec![images, channels, height, width], values).unwrap()).unwrap()
}

/// The taps of the window that lie within the input at an output position, and the values there.
fn covered(
    input: &Tensor,
    window: &Window,
    [image, y, x]: [usize; 3],
    channel: usize,
) -> Vec<(usize, f32)> {
    let mut covered = Vec::new();
    let [above, left] = window.pad_before;
    for tap in 0..window.taps() {
        let row = y * window.stride[0] + tap / window.kernel[1];
        let column = x * window.stride[1] + tap % window.kernel[1];
        if (above..above + input.height).contains(&row)
            && (left..left + input.width).contains(&column)
        {
            let position = (image * input.height + row - above) * input.width + column - left;
            covered.push((tap, input.values[position * input.channels + channel]));
        }
    }
    covered
}

/// Image, row and column of a position.
fn position(tensor: &Tensor, index: usize) -> [usize; 3] {
    let [height, width] = tensor.size();
    [index / (width * height), index / width % height, index % width]
}

fn windows() -> [Window; 5] {
    let window =
        |kernel, stride, pad_before, pad_after| Window { kernel, stride, pad_before, pad_after };
    [
        window([1, 1], [1, 1], [0, 0], [0, 0]),
        window([1, 1], [2, 2], [0, 0], [0, 0]),
        window([3, 3], [1, 1], [1, 1], [1, 1]),
        window([3, 2], [2, 1], [2, 0], [1, 1]),
        window([5, 1], [1, 1], [2, 0], [2, 0]),
    ]
}

#[test]
fn convolutions_match_their_definition() {
    // Partial panels, and more and fewer rows than a tile has.
    for (shape, groups, outputs) in [
        ([2, 6, 7, 5], 1, 20),
        ([2, 6, 7, 5], 2, 8),
        ([1, 6, 3, 4], 6, 6),
        ([2, 35, 3, 4], 35, 35),
        ([1, 6, 3, 4], 6, 12),
        ([3, 1, 9, 3], 1, 1),
    ] {
        let input = tensor(shape);
        for window in windows() {
            let (group_inputs, taps) = (shape[1] / groups, window.taps());
            let weights = values(outputs * group_inputs * taps, 3);
            let bias = values(outputs, 5);
            let shape = [outputs, group_inputs];
            let convolution =
                Convolution::new(window, groups, &weights, shape, &bias, None).unwrap();
            let found = convolution.run(&input, true, &BufferPool::default()).unwrap();
            for (index, &value) in found.values.iter().enumerate() {
                let (position, output) = (position(&found, index / outputs), index % outputs);
                let first = output / (outputs / groups) * group_inputs;
                let terms = (0..group_inputs).flat_map(|channel| {
                    let weights = &weights[(output * group_inputs + channel) * taps..][..taps];
                    let covered = covered(&input, &window, position, first + channel);
                    covered.into_iter().map(|(tap, value)| value * weights[tap])
                });
                let expected = (bias[output] + terms.sum::<f32>()).max(0.0);
                assert_eq!(value, expected, "{shape:?} {groups} {window:?} {position:?}");
            }
        }
    }
}

#[test]
fn winograd_matches_the_matrix_product() {
    // More tiles than a pass takes, odd sizes, and padding on one side only.
    for ([images, height, width], pad_after) in
        [([1, 8, 8], [1, 1]), ([3, 9, 7], [1, 1]), ([1, 10, 11], [0, 1])]
    {
        let window = Window { kernel: [3; 2], stride: [1; 2], pad_before: [1, 1], pad_after };
        let (inputs, outputs) = (32, 48);
        let input = tensor([images, inputs, height, width]);
        // Halves of such sums are exact too.
        let (weights, bias) = (values(outputs * inputs * 9, 0), values(outputs, 0));
        let buffers = BufferPool::default();
        let gemm = Convolution::new(window, 1, &weights, [outputs, inputs], &bias, None).unwrap();
        let winograd = Winograd::new(window, &weights, inputs, &bias);
        for relu in [false, true] {
            let expected = gemm.run(&input, relu, &buffers).unwrap();
            let found = winograd.run(&input, relu, &buffers).unwrap();
            assert!(found.values == expected.values, "{height} × {width}");
        }
    }
}

#[test]
fn winograd_is_faster_for_dense_3_by_3_convolutions_of_large_maps() {
    let window = Window { kernel: [3; 2], stride: [1; 2], pad_before: [1; 2], pad_after: [1; 2] };
    assert!(Winograd::is_faster(&window, [64, 32], [8, 8]));
    assert!(!Winograd::is_faster(&window, [64, 32], [6, 8]));
    assert!(!Winograd::is_faster(&window, [64, 3], [8, 8]));
    assert!(!Winograd::is_faster(&Window { stride: [2; 2], ..window }, [64, 32], [8, 8]));
    assert!(!Winograd::is_faster(&Window { kernel: [1; 2], ..window }, [64, 32], [8, 8]));
}

#[test]
fn max_pooling_ignores_padding_and_mean_pooling_counts_it() {
    let input = tensor([2, 3, 7, 5]);
    for window in windows() {
        let [max, mean] = [Pool::Max, Pool::Mean]
            .map(|pool| pool.run(&window, &input, &BufferPool::default()).unwrap());
        for index in 0..max.values.len() {
            let covered = covered(&input, &window, position(&max, index / 3), index % 3);
            let values = || covered.iter().map(|&(_, value)| value);
            assert_eq!(max.values[index], values().fold(f32::NEG_INFINITY, f32::max));
            let expected = values().sum::<f32>() / window.taps() as f32;
            assert!((mean.values[index] - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn contradictory_numbers_are_refused() {
    let [window, ..] = windows();
    let is_accepted = |window, groups, outputs| {
        Convolution::new(window, groups, &[0.0; 6], [outputs, 2], &[0.0; 3], None).is_some()
    };
    assert!(is_accepted(window, 1, 3) && is_accepted(window, 3, 3));
    assert!(!is_accepted(window, 2, 3) && !is_accepted(window, 0, 3));
    assert!(!is_accepted(window, 1, 4));
    assert!(!is_accepted(Window { stride: [0, 1], ..window }, 1, 3));
    assert!(!is_accepted(Window { pad_before: [1, 0], ..window }, 1, 3));
    let window = Window { kernel: [2, 2], ..window };
    assert!(Pool::Max.run(&window, &tensor([1, 2, 1, 1]), &BufferPool::default()).is_none());
}

/// Found by the fuzz target `engine`: the outputs of the second group start beyond an empty buffer.
#[test]
fn a_batch_without_images_stays_empty() {
    let window = windows()[2];
    for (groups, shape) in [(1, [16, 16]), (2, [16, 8]), (16, [16, 1])] {
        let weights = values(shape[0] * shape[1] * 9, 3);
        for size in [None, Some([8, 8])] {
            let convolution =
                Convolution::new(window, groups, &weights, shape, &[0.5; 16], size).unwrap();
            let found = convolution.run(&tensor([0, 16, 8, 8]), true, &BufferPool::default());
            let found = found.unwrap();
            assert_eq!((found.batch_shape(), found.values.len()), (vec![0, 16, 8, 8], 0));
        }
    }
}
