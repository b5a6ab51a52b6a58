//! libtorch's fused update of many parameters, in one pass over their memory.

#![allow(unsafe_code, reason = "a function of libtorch")]

use std::ffi::c_void;

use tch::{Kind, Tensor};

unsafe extern "C" {
    fn sd_forget_gradient(variable: *mut c_void);
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
}

/// Drops a variable's gradient, so that the next backward pass hands its own over where it would
/// add it to zeros.
pub fn forget_gradient(variable: &Tensor) {
    // SAFETY: the pointer is a live tensor's.
    unsafe { sd_forget_gradient(pointer(variable)) }
}

/// One update of SGD as `torch.optim.SGD` defines it:
/// g ← g + `weight_decay` · w; b ← `momentum` · b + g; w ← w − `rate` · (g + `momentum` · b with
/// Nesterov, b without).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdUpdate {
    /// Pull towards zero.
    pub weight_decay: f64,
    /// Share of the last update kept, 0 to below 1.
    pub momentum: f64,
    /// Learning rate.
    pub rate: f64,
    /// Look ahead along the momentum. Nothing without a momentum.
    pub nesterov: bool,
}

/// A parameter, its gradient and its momentum: `f32`, of one shape and memory layout.
pub type Parameter<'a> = (&'a Tensor, &'a Tensor, &'a Tensor);

impl SgdUpdate {
    /// Updates the parameters and their momenta in place.
    ///
    /// # Panics
    /// Where a parameter's three tensors do not lie alike.
    pub fn apply(&self, parameters: &[Parameter<'_>]) {
        if parameters.is_empty() {
            return;
        }
        for &(value, gradient, momentum) in parameters {
            for other in [gradient, momentum] {
                assert_eq!((other.kind(), other.device()), (Kind::Float, value.device()));
                assert_eq!(layout(other), layout(value));
            }
        }
        let list = |of: fn(&Parameter<'_>) -> *mut c_void| -> Vec<*mut c_void> {
            parameters.iter().map(of).collect()
        };
        let values = list(|(value, ..)| pointer(value));
        let gradients = list(|(_, gradient, _)| pointer(gradient));
        let momenta = list(|(.., momentum)| pointer(momentum));
        // SAFETY: the pointers are live tensors, as many as `count` says, and libtorch's kernel
        // walks a parameter's three tensors alike, which was checked.
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

/// Size and stride of each dimension that has more than one place.
fn layout(tensor: &Tensor) -> Vec<(i64, i64)> {
    let dimensions = tensor.size().into_iter().zip(tensor.stride());
    dimensions.filter(|(size, _)| *size > 1).collect()
}

fn pointer(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast()
}
