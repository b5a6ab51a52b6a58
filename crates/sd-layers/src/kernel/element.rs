//! Number formats of the kernels' inputs and outputs; the kernels compute in `f32`.

#![allow(unsafe_code, reason = "defines an element type, and calls code for a detected processor")]

use tch::{Kind, kind};

/// An element type of feature maps.
pub trait Element: kind::Element + Copy + Send + Sync + 'static {
    /// The value.
    fn get(self) -> f32;

    /// The nearest number to `value`, ties to even.
    fn of(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn get(self) -> f32 {
        self
    }

    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }
}

/// A bfloat16: the upper half of an `f32`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Bf16(u16);

// SAFETY: 16 bits, in libtorch's format.
unsafe impl kind::Element for Bf16 {
    const KIND: Kind = Kind::BFloat16;
    const ZERO: Self = Self(0);
}

impl Element for Bf16 {
    #[inline(always)]
    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    fn of(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // Rounding could turn the bits of a NaN into an infinity or a zero.
        Self(if value.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

/// Runs `work` compiled for AVX-512 or AVX2 if the processor has it. Rust neither reorders
/// floating-point sums nor fuses multiplications into them, so the vector width does not change the
/// results.
///
/// Functions that `work` calls have to be inlined into it, or they are compiled for any processor.
#[inline(always)]
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        fn with_avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if has_avx512 {
            // SAFETY: the processor has it.
            return unsafe { with_avx512(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it.
            return unsafe { with_avx2(work) };
        }
    }
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_width_does_not_change_results() {
        #[inline(always)]
        fn bits_of_sums(numbers: &[f32]) -> [u32; 32] {
            let mut sums = [0.0f32; 32];
            for rows in numbers.windows(2 * sums.len()) {
                let (left, right) = rows.split_at(sums.len());
                for (sum, (left, right)) in sums.iter_mut().zip(left.iter().zip(right)) {
                    *sum += left * right;
                }
            }
            sums.map(f32::to_bits)
        }
        let numbers: Vec<f32> = (1..1000u16).map(|number| 1.0 / f32::from(number)).collect();
        let vectorised = vectorised(
            #[inline(always)]
            || bits_of_sums(&numbers),
        );
        assert_eq!(vectorised, bits_of_sums(&numbers));
    }

    #[test]
    fn bf16_rounds_as_libtorch_does() {
        let values = [0.0, -0.0, 1.0, 1.003_906_3, 1.011_718_8, -3.3e38, 1e-40, f32::INFINITY];
        let tensor = tch::Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let expected = Vec::<f32>::try_from(tensor).unwrap();
        assert_eq!(values.map(|value| Bf16::of(value).get()).to_vec(), expected);
        assert!(Bf16::of(f32::NAN).get().is_nan());
    }
}
