//! Activations that the kernels of batch norm apply.

use tch::Tensor;

/// An activation that lets a number pass, with gradient 1, or replaces it by a constant.
pub trait Activation {
    /// The activation of `value`; NaN stays NaN.
    fn of(value: f32) -> f32;

    /// Whether the gradient passes. As in libtorch, it does at NaN.
    fn passes(value: f32) -> bool;

    /// libtorch's operation, in place.
    fn in_libtorch(map: Tensor) -> Tensor;
}

/// No activation.
#[derive(Debug)]
pub enum Identity {}

/// max(x, 0).
#[derive(Debug)]
pub enum Relu {}

/// min(max(x, 0), 6).
#[derive(Debug)]
pub enum Relu6 {}

impl Activation for Identity {
    #[inline(always)]
    fn of(value: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn passes(_: f32) -> bool {
        true
    }

    fn in_libtorch(map: Tensor) -> Tensor {
        map
    }
}

impl Activation for Relu {
    #[inline(always)]
    fn of(value: f32) -> f32 {
        if value < 0.0 { 0.0 } else { value }
    }

    #[inline(always)]
    fn passes(value: f32) -> bool {
        value > 0.0 || value.is_nan()
    }

    fn in_libtorch(mut map: Tensor) -> Tensor {
        map.relu_()
    }
}

impl Activation for Relu6 {
    #[inline(always)]
    fn of(value: f32) -> f32 {
        value.clamp(0.0, 6.0)
    }

    #[inline(always)]
    fn passes(value: f32) -> bool {
        value > 0.0 && value < 6.0 || value.is_nan()
    }

    fn in_libtorch(mut map: Tensor) -> Tensor {
        map.relu6_()
    }
}
