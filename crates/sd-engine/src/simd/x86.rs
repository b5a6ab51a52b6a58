//! AVX-512, AVX2 and VNNI vectors.

use std::arch::x86_64::*;

use super::{Accumulator, FloatLoop, FloatVector, Int8Accumulator, Int8Loop, LANES};

#[target_feature(enable = "avx512f,avx512vl")]
pub fn float_avx512(task: impl FloatLoop) {
    task.run::<Avx512>();
}

#[target_feature(enable = "avx2,fma")]
pub fn float_avx2(task: impl FloatLoop) {
    task.run::<Avx2>();
}

#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
pub fn int8_vnni(task: impl Int8Loop) {
    task.run::<Vnni>();
}

#[target_feature(enable = "avx2")]
pub fn int8_avx2(task: impl Int8Loop) {
    task.run::<Avx2Bytes>();
}

/// Used in `float_avx512` alone.
#[derive(Clone, Copy)]
struct Avx512(__m512);

impl Accumulator for Avx512 {
    type Scalar = f32;
    type Lane = f32;
    type Init = f32;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn load(init: &[f32; LANES]) -> Self {
        // SAFETY: 16 values are read, and the processor has the feature.
        Self(unsafe { _mm512_loadu_ps(init.as_ptr()) })
    }

    #[inline(always)]
    fn mul_add_scalar(self, scalar: f32, lanes: &[f32; LANES]) -> Self {
        // SAFETY: as above.
        Self(unsafe {
            _mm512_fmadd_ps(_mm512_set1_ps(scalar), _mm512_loadu_ps(lanes.as_ptr()), self.0)
        })
    }
}

impl FloatVector for Avx512 {
    #[inline(always)]
    fn mul_add(self, a: &[f32; LANES], b: &[f32; LANES]) -> Self {
        // SAFETY: as above.
        unsafe {
            let a = _mm512_loadu_ps(a.as_ptr());
            Self(_mm512_fmadd_ps(a, _mm512_loadu_ps(b.as_ptr()), self.0))
        }
    }

    #[inline(always)]
    fn max(self, other: &[f32; LANES]) -> Self {
        // The instruction returns its second operand if either is NaN.
        // SAFETY: as above.
        Self(unsafe { _mm512_max_ps(_mm512_loadu_ps(other.as_ptr()), self.0) })
    }

    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        let mut to = [0.0; LANES];
        // SAFETY: 16 values are written to an array of 16.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) };
        to
    }
}

/// Used in `float_avx2` alone.
#[derive(Clone, Copy)]
struct Avx2([__m256; 2]);

/// Sixteen values as two vectors.
#[inline(always)]
fn halves(values: &[f32; LANES]) -> [__m256; 2] {
    let (low, high) = values.split_at(8);
    // SAFETY: 8 values are read from each half, and only AVX2 code calls this.
    unsafe { [_mm256_loadu_ps(low.as_ptr()), _mm256_loadu_ps(high.as_ptr())] }
}

impl Accumulator for Avx2 {
    type Scalar = f32;
    type Lane = f32;
    type Init = f32;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn load(init: &[f32; LANES]) -> Self {
        Self(halves(init))
    }

    #[inline(always)]
    fn mul_add_scalar(self, scalar: f32, lanes: &[f32; LANES]) -> Self {
        let [low, high] = halves(lanes);
        // SAFETY: the processor has the feature.
        unsafe {
            let scalar = _mm256_set1_ps(scalar);
            let low = _mm256_fmadd_ps(scalar, low, self.0[0]);
            Self([low, _mm256_fmadd_ps(scalar, high, self.0[1])])
        }
    }
}

impl FloatVector for Avx2 {
    #[inline(always)]
    fn mul_add(self, a: &[f32; LANES], b: &[f32; LANES]) -> Self {
        let (a, b) = (halves(a), halves(b));
        // SAFETY: the processor has the feature.
        unsafe {
            let low = _mm256_fmadd_ps(a[0], b[0], self.0[0]);
            Self([low, _mm256_fmadd_ps(a[1], b[1], self.0[1])])
        }
    }

    #[inline(always)]
    fn max(self, other: &[f32; LANES]) -> Self {
        let [low, high] = halves(other);
        // SAFETY: as above.
        Self(unsafe { [_mm256_max_ps(low, self.0[0]), _mm256_max_ps(high, self.0[1])] })
    }

    #[inline(always)]
    fn relu(self) -> Self {
        // SAFETY: as above.
        unsafe {
            let zero = _mm256_setzero_ps();
            Self([_mm256_max_ps(zero, self.0[0]), _mm256_max_ps(zero, self.0[1])])
        }
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        let mut to = [0.0; LANES];
        let (low, high) = to.split_at_mut(8);
        // SAFETY: 8 values are written to each half.
        unsafe {
            _mm256_storeu_ps(low.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(high.as_mut_ptr(), self.0[1]);
        }
        to
    }
}

/// Used in `int8_vnni` alone.
#[derive(Clone, Copy)]
struct Vnni(__m512i);

impl Accumulator for Vnni {
    type Scalar = [u8; 4];
    type Lane = [i8; 4];
    type Init = i32;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn load(init: &[i32; LANES]) -> Self {
        // SAFETY: 64 bytes are read, and the processor has the feature.
        Self(unsafe { _mm512_loadu_si512(init.as_ptr().cast()) })
    }

    #[inline(always)]
    fn mul_add_scalar(self, scalar: [u8; 4], lanes: &[[i8; 4]; LANES]) -> Self {
        // SAFETY: as above.
        unsafe {
            let scalar = _mm512_set1_epi32(i32::from_ne_bytes(scalar));
            Self(_mm512_dpbusd_epi32(self.0, scalar, _mm512_loadu_si512(lanes.as_ptr().cast())))
        }
    }
}

impl Int8Accumulator for Vnni {
    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut to = [0; LANES];
        // SAFETY: 16 values are written to an array of 16.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), self.0) };
        to
    }
}

/// Used in `int8_avx2` alone.
#[derive(Clone, Copy)]
struct Avx2Bytes([__m256i; 2]);

impl Accumulator for Avx2Bytes {
    type Scalar = [u8; 4];
    type Lane = [i8; 4];
    type Init = i32;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn load(init: &[i32; LANES]) -> Self {
        let (low, high) = init.split_at(8);
        // SAFETY: 32 bytes are read from each half, and the processor has the feature.
        unsafe {
            let low = _mm256_loadu_si256(low.as_ptr().cast());
            Self([low, _mm256_loadu_si256(high.as_ptr().cast())])
        }
    }

    #[inline(always)]
    fn mul_add_scalar(self, scalar: [u8; 4], lanes: &[[i8; 4]; LANES]) -> Self {
        let (low, high) = lanes.split_at(8);
        // SAFETY: as above.
        unsafe {
            let scalar = _mm256_set1_epi32(i32::from_ne_bytes(scalar));
            // The instruction for bytes adds two products in 16 bits, which overflows. Widened to
            // 16 bits first, products are added in 32.
            let plus = |sum: __m256i, lane: __m256i| {
                let low = _mm256_set1_epi32(0x00ff_00ff);
                let even = _mm256_madd_epi16(
                    _mm256_and_si256(scalar, low),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(lane)),
                );
                let odd =
                    _mm256_madd_epi16(_mm256_srli_epi16::<8>(scalar), _mm256_srai_epi16::<8>(lane));
                _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
            };
            let low = plus(self.0[0], _mm256_loadu_si256(low.as_ptr().cast()));
            Self([low, plus(self.0[1], _mm256_loadu_si256(high.as_ptr().cast()))])
        }
    }
}

impl Int8Accumulator for Avx2Bytes {
    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut to = [0; LANES];
        let (low, high) = to.split_at_mut(8);
        // SAFETY: 8 values are written to each half.
        unsafe {
            _mm256_storeu_si256(low.as_mut_ptr().cast(), self.0[0]);
            _mm256_storeu_si256(high.as_mut_ptr().cast(), self.0[1]);
        }
        to
    }
}
