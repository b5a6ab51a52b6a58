//! The number format of the computation.
//!
//! Weights, gradients and optimiser state are always `f32`. The network's input is cast once, and
//! each layer casts its weights to the type of its input; autograd carries the gradients back to
//! `f32`. (`tch`'s autocast is CUDA and `f16` only.)

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Number format of feature maps, forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// bfloat16: `f32`'s range, 8 bits of significand.
    Bf16,
}

impl Precision {
    /// Returns the faster format on `device`: `bf16` on CUDA and on processors with AVX-512 (BW, VL,
    /// DQ), `f32` elsewhere.
    ///
    /// oneDNN, libtorch's convolution library on the CPU, has `bf16` kernels for AVX-512. Without it,
    /// libtorch falls back to loops that are five to twenty times as slow as `f32`.
    pub fn fastest_on(device: Device) -> Self {
        if device.is_cuda() || cpu_has_bf16_convolutions() { Self::Bf16 } else { Self::F32 }
    }

    /// This format as a tensor type.
    pub const fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_has_bf16_convolutions() -> bool {
    is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_has_bf16_convolutions() -> bool {
    false
}

/// `weight` in the type of `input`, without a copy if it has that type.
pub(crate) fn like(weight: &Tensor, input: &Tensor) -> Tensor {
    weight.to_kind(input.kind())
}
