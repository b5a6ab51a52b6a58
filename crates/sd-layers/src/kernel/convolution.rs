//! Convolution, by the fastest path for its sizes, number format and memory layout.

use tch::{Kind, Tensor};

use super::bridge::{grad_enabled, is_channels_last};
use super::depthwise::depthwise;
use super::im2col::im2col_convolution;
use crate::precision::like;
use crate::shape::Window;

/// The convolution of `map` `[N, C, H, W]` with `weight` `[D, C / groups, K, K]`: `[N, D, H', W']`.
pub fn convolution(map: &Tensor, weight: &Tensor, window: Window, groups: i64) -> Tensor {
    if is_channels_last(map) {
        let outputs = weight.size()[0];
        if groups > 1 && groups == map.size()[1] && groups == outputs {
            return depthwise(map, weight, window);
        }
        let bf16 = map.kind() == Kind::BFloat16;
        if groups == 1 && bf16 && window == Window::same(1, 1) {
            return pointwise(map, weight);
        }
        if groups == 1
            && (bf16 && is_small(map) || is_single_small(map) && is_prepared(weight, map))
        {
            return im2col_convolution(map, weight, window);
        }
    }
    let Window { stride, padding, .. } = window;
    let weight = like(weight, map);
    map.conv2d(&weight, None::<Tensor>, [stride; 2], [padding; 2], [1, 1], groups)
}

/// A 1×1 convolution as the product of matrices that it is. In `bf16`, libtorch's convolution takes
/// up to twenty times as long because it reorders the weights at each step; in `f32` it is as fast
/// on large maps.
fn pointwise(map: &Tensor, weight: &Tensor) -> Tensor {
    let weight = like(weight, map).flatten(1, -1);
    map.permute([0, 2, 3, 1]).linear(&weight, None::<Tensor>).permute([0, 3, 1, 2])
}

/// Whether the product of matrices is faster than libtorch's convolution in `bf16`: on 8×8 it is
/// not.
fn is_small(map: &Tensor) -> bool {
    map.size()[2..].iter().product::<i64>() <= 16
}

/// Whether a batch has so few positions that reading the weights dominates. The product of matrices
/// is then faster in `f32` as well.
fn is_single_small(map: &Tensor) -> bool {
    map.size()[0] * map.size()[2] * map.size()[3] <= 16
}

/// Whether `weight` needs neither gradient, cast nor reordering for a product with `map`.
fn is_prepared(weight: &Tensor, map: &Tensor) -> bool {
    !grad_enabled() && weight.kind() == map.kind() && is_channels_last(weight)
}
