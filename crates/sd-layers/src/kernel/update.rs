//! libtorch's fused optimiser updates: one pass over the memory of many parameters.

#![allow(unsafe_code, reason = "calls libtorch")]

use std::array::from_fn;
use std::ffi::c_void;

use tch::{Kind, Tensor};

use super::bridge::Status;

/// Tensors in the order of the parameters.
type Pointers = *const *mut c_void;

unsafe extern "C" {
    fn sd_zero_grad(variable: *mut c_void) -> Status;
    fn sd_fused_sgd(
        values: Pointers,
        gradients: Pointers,
        momenta: Pointers,
        count: usize,
        update: SgdUpdate,
    ) -> Status;
    fn sd_fused_adamw(
        values: Pointers,
        gradients: Pointers,
        means: Pointers,
        squares: Pointers,
        steps: Pointers,
        count: usize,
        update: AdamWUpdate,
    ) -> Status;
}

/// Drops a variable's gradient, as PyTorch's `zero_grad(set_to_none=True)` does: the next backward
/// pass stores its own instead of adding it to zeros.
pub fn zero_grad(variable: &Tensor) {
    // SAFETY: the pointer is a live tensor's.
    unsafe { sd_zero_grad(variable.as_ptr().cast_mut().cast()) }.check();
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
    /// momentum: `f32`, of one shape and memory layout without gaps or overlaps.
    ///
    /// # Panics
    /// If a row differs from this, or if libtorch fails.
    pub fn apply(self, rows: &[[&Tensor; 3]]) {
        rows.iter().for_each(|tensors| assert_same_layout(tensors));
        let [values, gradients, momenta] = &columns(rows);
        // SAFETY: each column has `rows.len()` live tensors, and those of a row have the same layout
        // without gaps or overlaps, which libtorch's kernel relies on.
        unsafe {
            sd_fused_sgd(values.as_ptr(), gradients.as_ptr(), momenta.as_ptr(), rows.len(), self)
        }
        .check();
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
    /// of one shape and memory layout without gaps or overlaps), and t (`[]`, `f32`).
    ///
    /// # Panics
    /// If a row differs from this, or if libtorch fails.
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
            )
        }
        .check();
    }
}

fn assert_same_layout(tensors: &[&Tensor]) {
    let first = layout(tensors[0]);
    for tensor in tensors {
        assert_eq!((tensor.kind(), tensor.device()), (Kind::Float, tensors[0].device()));
        assert_eq!(layout(tensor), first);
    }
    assert!(is_dense(first), "gaps or overlaps: strides {:?}", tensors[0].stride());
}

/// Size and stride of each dimension of size other than 1.
fn layout(tensor: &Tensor) -> Vec<(i64, i64)> {
    let dimensions = tensor.size().into_iter().zip(tensor.stride());
    dimensions.filter(|(size, _)| *size != 1).collect()
}

/// Whether elements fill a range of memory without gaps or overlaps.
fn is_dense(mut layout: Vec<(i64, i64)>) -> bool {
    layout.sort_by_key(|&(_, stride)| stride);
    let mut elements = 1;
    let is_next = |&(size, stride): &(i64, i64)| {
        let fits = stride == elements;
        elements *= size;
        fits
    };
    layout.iter().any(|&(size, _)| size == 0) || layout.iter().all(is_next)
}

fn columns<const N: usize>(rows: &[[&Tensor; N]]) -> [Vec<*mut c_void>; N] {
    from_fn(|column| rows.iter().map(|row| row[column].as_ptr().cast_mut().cast()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::bridge::tests::panic_of;
    use super::*;
    use crate::channels_last;
    use tch::Device;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn updates_refuse_tensors_with_gaps_overlaps_or_other_layouts() {
        let update = SgdUpdate { weight_decay: 0.0, momentum: 0.9, rate: 0.1, nesterov: false };
        let three = |of: &dyn Fn() -> Tensor| [of(), of(), of()];
        let apply = |[value, gradient, momentum]: &[Tensor; 3]| {
            update.apply(&[[value, gradient, momentum]]);
        };
        for refused in [
            three(&|| Tensor::zeros([1], CPU).expand([4], false)),
            three(&|| Tensor::zeros([2, 4], CPU).narrow(1, 0, 2)),
            three(&|| Tensor::zeros([4], CPU).as_strided([2, 2], [1, 1], None)),
        ] {
            let message = panic_of(|| apply(&refused));
            assert!(message.starts_with("gaps or overlaps: strides "), "{message}");
        }
        let zeros = |size: &[i64]| Tensor::zeros(size, CPU);
        for [first, other] in [[&[2, 3][..], &[3, 2]], [&[0], &[1]], [&[4], &[2, 2]]] {
            let _ = panic_of(|| apply(&[zeros(first), zeros(first), zeros(other)]));
        }
        apply(&three(&|| zeros(&[0, 3])));
        apply(&three(&|| zeros(&[1, 2, 1, 3])));
        apply(&three(&|| channels_last(&zeros(&[2, 3, 4, 5]))));
    }
}
