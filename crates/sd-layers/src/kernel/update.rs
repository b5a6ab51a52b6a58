//! libtorch's fused optimiser updates: one pass over the memory of many parameters.

#![allow(unsafe_code, reason = "calls libtorch")]

use std::array::from_fn;
use std::ffi::c_void;

use tch::{Kind, Tensor};

/// Tensors in the order of the parameters.
type Pointers = *const *mut c_void;

unsafe extern "C" {
    fn sd_zero_grad(variable: *mut c_void);
    fn sd_fused_sgd(
        values: Pointers,
        gradients: Pointers,
        momenta: Pointers,
        count: usize,
        update: SgdUpdate,
    );
    fn sd_fused_adamw(
        values: Pointers,
        gradients: Pointers,
        means: Pointers,
        squares: Pointers,
        steps: Pointers,
        count: usize,
        update: AdamWUpdate,
    );
}

/// Drops a variable's gradient, as PyTorch's `zero_grad(set_to_none=True)` does: the next backward
/// pass stores its own instead of adding it to zeros.
pub fn zero_grad(variable: &Tensor) {
    // SAFETY: the pointer is a live tensor's.
    unsafe { sd_zero_grad(variable.as_ptr().cast_mut().cast()) }
}

/// One update of SGD as `torch.optim.SGD` defines it:
/// g ← g + `weight_decay` · w; b ← `momentum` · b + g; w ← w − `rate` · (g + `momentum` · b with
/// Nesterov, b without).
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
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

impl SgdUpdate {
    /// Updates parameters and their momenta in place. A row is a parameter, its gradient and its
    /// momentum: `f32`, of one shape and memory layout.
    ///
    /// # Panics
    /// If the tensors of a row differ in memory layout.
    pub fn apply(self, rows: &[[&Tensor; 3]]) {
        rows.iter().for_each(|tensors| assert_same_layout(tensors));
        let [values, gradients, momenta] = &columns(rows);
        // SAFETY: each column has `rows.len()` live tensors, and those of a row have the same layout,
        // which libtorch's kernel relies on.
        unsafe {
            sd_fused_sgd(values.as_ptr(), gradients.as_ptr(), momenta.as_ptr(), rows.len(), self);
        }
    }
}

/// One update of AdamW as `torch.optim.AdamW` defines it, with the gradient g and the number t of
/// updates including this one:
/// w ← w − `rate` · `weight_decay` · w; m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
/// w ← w − `rate` · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + `eps`).
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
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

impl AdamWUpdate {
    /// Updates parameters and their state in place. A row is a parameter, its gradient g, m, v (`f32`,
    /// of one shape and memory layout), and t (`[]`, `f32`).
    ///
    /// # Panics
    /// If the tensors of a row differ in memory layout.
    pub fn apply(self, rows: &[[&Tensor; 5]]) {
        for [tensors @ .., steps] in rows {
            assert_same_layout(tensors);
            assert_eq!((steps.kind(), steps.numel()), (Kind::Float, 1));
        }
        let [values, gradients, means, squares, steps] = &columns(rows);
        // SAFETY: as in `SgdUpdate::apply`.
        unsafe {
            sd_fused_adamw(
                values.as_ptr(),
                gradients.as_ptr(),
                means.as_ptr(),
                squares.as_ptr(),
                steps.as_ptr(),
                rows.len(),
                self,
            );
        }
    }
}

fn assert_same_layout(tensors: &[&Tensor]) {
    for other in tensors {
        assert_eq!((other.kind(), other.device()), (Kind::Float, tensors[0].device()));
        assert_eq!(layout(other), layout(tensors[0]));
    }
}

/// Size and stride of each dimension of size above 1.
fn layout(tensor: &Tensor) -> Vec<(i64, i64)> {
    let dimensions = tensor.size().into_iter().zip(tensor.stride());
    dimensions.filter(|(size, _)| *size > 1).collect()
}

fn columns<const N: usize>(rows: &[[&Tensor; N]]) -> [Vec<*mut c_void>; N] {
    from_fn(|column| rows.iter().map(|row| row[column].as_ptr().cast_mut().cast()).collect())
}
