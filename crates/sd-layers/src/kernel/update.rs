//! libtorch's fused optimiser updates: one pass over the memory of many parameters.

#![allow(unsafe_code, reason = "calls libtorch")]

use std::ffi::c_void;

use tch::{Kind, Tensor};

unsafe extern "C" {
    fn sd_zero_grad(variable: *mut c_void);
    fn sd_fused_sgd(
        values: *const *mut c_void,
        gradients: *const *mut c_void,
        momenta: *const *mut c_void,
        count: usize,
        weight_decay: f64,
        momentum: f64,
        rate: f64,
        nesterov: bool,
    );
    fn sd_fused_adamw(
        values: *const *mut c_void,
        gradients: *const *mut c_void,
        means: *const *mut c_void,
        squares: *const *mut c_void,
        steps: *const *mut c_void,
        count: usize,
        rate: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    );
}

/// Drops a variable's gradient, as PyTorch's `zero_grad(set_to_none=True)` does: the next backward
/// pass stores its own instead of adding it to zeros.
pub fn zero_grad(variable: &Tensor) {
    // SAFETY: the pointer is a live tensor's.
    unsafe { sd_zero_grad(pointer(variable)) }
}

/// One update of SGD as `torch.optim.SGD` defines it:
/// g ← g + `weight_decay` · w; b ← `momentum` · b + g; w ← w − `rate` · (g + `momentum` · b with
/// Nesterov, b without).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdUpdate {
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Momentum, at least 0 and below 1.
    pub momentum: f64,
    /// Learning rate.
    pub rate: f64,
    /// Nesterov momentum; no effect if the momentum is 0.
    pub nesterov: bool,
}

/// A parameter, its gradient and its momentum: `f32`, of one shape and memory layout.
pub type Parameter<'a> = (&'a Tensor, &'a Tensor, &'a Tensor);

impl SgdUpdate {
    /// Updates the parameters and their momenta in place.
    ///
    /// # Panics
    /// If a parameter's three tensors differ in memory layout.
    pub fn apply(&self, parameters: &[Parameter<'_>]) {
        if parameters.is_empty() {
            return;
        }
        for &(value, gradient, momentum) in parameters {
            assert_same_layout(value, &[gradient, momentum]);
        }
        let values = pointers(parameters, |(value, ..)| value);
        let gradients = pointers(parameters, |(_, gradient, _)| gradient);
        let momenta = pointers(parameters, |(.., momentum)| momentum);
        // SAFETY: the pointers are `count` live tensors each, and a parameter's three tensors have the
        // same layout, which libtorch's kernel relies on.
        unsafe {
            sd_fused_sgd(
                values.as_ptr(),
                gradients.as_ptr(),
                momenta.as_ptr(),
                parameters.len(),
                self.weight_decay,
                self.momentum,
                self.rate,
                self.nesterov,
            );
        }
    }
}

/// One update of AdamW as `torch.optim.AdamW` defines it, with the gradient g and the number t of
/// updates including this one:
/// w ← w − `rate` · `weight_decay` · w; m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
/// w ← w − `rate` · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + `eps`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWUpdate {
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// β₁ and β₂, the decay rates of the moving averages, each at least 0 and below 1.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Learning rate.
    pub rate: f64,
}

/// A parameter and its AdamW state.
#[derive(Debug, Clone, Copy)]
pub struct AdamWParameter<'a> {
    /// The parameter. It, its gradient, `mean` and `square` are `f32` of one shape and memory layout.
    pub value: &'a Tensor,
    /// Its gradient.
    pub gradient: &'a Tensor,
    /// m, the moving average of the gradient.
    pub mean: &'a Tensor,
    /// v, the moving average of its square.
    pub square: &'a Tensor,
    /// t: `[]`, `f32`.
    pub steps: &'a Tensor,
}

impl AdamWUpdate {
    /// Updates the parameters and their state in place.
    ///
    /// # Panics
    /// If a parameter's tensors differ in memory layout.
    pub fn apply(&self, parameters: &[AdamWParameter<'_>]) {
        if parameters.is_empty() {
            return;
        }
        for &AdamWParameter { value, gradient, mean, square, steps } in parameters {
            assert_same_layout(value, &[gradient, mean, square]);
            assert_eq!((steps.kind(), steps.numel()), (Kind::Float, 1));
        }
        let values = pointers(parameters, |parameter| parameter.value);
        let gradients = pointers(parameters, |parameter| parameter.gradient);
        let means = pointers(parameters, |parameter| parameter.mean);
        let squares = pointers(parameters, |parameter| parameter.square);
        let steps = pointers(parameters, |parameter| parameter.steps);
        // SAFETY: as in `SgdUpdate::apply`.
        unsafe {
            sd_fused_adamw(
                values.as_ptr(),
                gradients.as_ptr(),
                means.as_ptr(),
                squares.as_ptr(),
                steps.as_ptr(),
                parameters.len(),
                self.rate,
                self.betas[0],
                self.betas[1],
                self.weight_decay,
                self.eps,
            );
        }
    }
}

fn assert_same_layout(value: &Tensor, others: &[&Tensor]) {
    for other in others {
        assert_eq!((other.kind(), other.device()), (Kind::Float, value.device()));
        assert_eq!(layout(other), layout(value));
    }
}

/// Size and stride of each dimension of size above 1.
fn layout(tensor: &Tensor) -> Vec<(i64, i64)> {
    let dimensions = tensor.size().into_iter().zip(tensor.stride());
    dimensions.filter(|(size, _)| *size > 1).collect()
}

fn pointers<P>(parameters: &[P], of: impl Fn(&P) -> &Tensor) -> Vec<*mut c_void> {
    parameters.iter().map(|parameter| pointer(of(parameter))).collect()
}

fn pointer(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast()
}
