//! The vectors of x86.

use std::arch::x86_64::*;

use super::{ByteWork, Bytes, Floats, LANES, Sums, Work};

#[target_feature(enable = "avx512f,avx512vl")]
pub fn floats_of_avx512(work: impl Work) {
    work.run::<Avx512>();
}

#[target_feature(enable = "avx2,fma")]
pub fn floats_of_avx2(work: impl Work) {
    work.run::<Avx2>();
}

#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
pub fn bytes_of_vnni(work: impl ByteWork) {
    work.run::<Vnni>();
}

#[target_feature(enable = "avx2")]
pub fn bytes_of_avx2(work: impl ByteWork) {
    work.run::<Avx2Bytes>();
}

/// Of `floats_of_avx512` alone.
#[derive(Clone, Copy)]
struct Avx512(__m512);

impl Sums for Avx512 {
    type Left = f32;
    type Right = f32;
    type Start = f32;
    const ROWS: usize = 12;

    #[inline(always)]
    fn start(from: &[f32; LANES]) -> Self {
        // SAFETY: 16 numbers are there, and the processor has the vectors.
        Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn plus_product(self, left: f32, right: &[f32; LANES]) -> Self {
        // SAFETY: as above.
        Self(unsafe {
            _mm512_fmadd_ps(_mm512_set1_ps(left), _mm512_loadu_ps(right.as_ptr()), self.0)
        })
    }
}

impl Floats for Avx512 {
    #[inline(always)]
    fn plus_products(self, left: &[f32; LANES], right: &[f32; LANES]) -> Self {
        // SAFETY: as above.
        unsafe {
            let left = _mm512_loadu_ps(left.as_ptr());
            Self(_mm512_fmadd_ps(left, _mm512_loadu_ps(right.as_ptr()), self.0))
        }
    }

    #[inline(always)]
    fn largest(self, other: &[f32; LANES]) -> Self {
        // Of two the second one, where one of them is no number.
        // SAFETY: as above.
        Self(unsafe { _mm512_max_ps(_mm512_loadu_ps(other.as_ptr()), self.0) })
    }

    #[inline(always)]
    fn rectified(self) -> Self {
        // SAFETY: as above.
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        let mut to = [0.0; LANES];
        // SAFETY: there is room for 16 numbers.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) };
        to
    }
}

/// Of `floats_of_avx2` alone.
#[derive(Clone, Copy)]
struct Avx2([__m256; 2]);

/// The halves of sixteen numbers.
#[inline(always)]
fn halves(from: &[f32; LANES]) -> [__m256; 2] {
    let (low, high) = from.split_at(8);
    // SAFETY: 8 numbers are in each, and code for AVX2 alone comes here.
    unsafe { [_mm256_loadu_ps(low.as_ptr()), _mm256_loadu_ps(high.as_ptr())] }
}

impl Sums for Avx2 {
    type Left = f32;
    type Right = f32;
    type Start = f32;
    const ROWS: usize = 6;

    #[inline(always)]
    fn start(from: &[f32; LANES]) -> Self {
        Self(halves(from))
    }

    #[inline(always)]
    fn plus_product(self, left: f32, right: &[f32; LANES]) -> Self {
        let [low, high] = halves(right);
        // SAFETY: the processor has the vectors.
        unsafe {
            let left = _mm256_set1_ps(left);
            let low = _mm256_fmadd_ps(left, low, self.0[0]);
            Self([low, _mm256_fmadd_ps(left, high, self.0[1])])
        }
    }
}

impl Floats for Avx2 {
    #[inline(always)]
    fn plus_products(self, left: &[f32; LANES], right: &[f32; LANES]) -> Self {
        let (left, right) = (halves(left), halves(right));
        // SAFETY: the processor has the vectors.
        unsafe {
            let low = _mm256_fmadd_ps(left[0], right[0], self.0[0]);
            Self([low, _mm256_fmadd_ps(left[1], right[1], self.0[1])])
        }
    }

    #[inline(always)]
    fn largest(self, other: &[f32; LANES]) -> Self {
        let [low, high] = halves(other);
        // SAFETY: as above.
        Self(unsafe { [_mm256_max_ps(low, self.0[0]), _mm256_max_ps(high, self.0[1])] })
    }

    #[inline(always)]
    fn rectified(self) -> Self {
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
        // SAFETY: there is room for 8 numbers in each.
        unsafe {
            _mm256_storeu_ps(low.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(high.as_mut_ptr(), self.0[1]);
        }
        to
    }
}

/// Of `bytes_of_vnni` alone.
#[derive(Clone, Copy)]
struct Vnni(__m512i);

impl Sums for Vnni {
    type Left = [u8; 4];
    type Right = [i8; 4];
    type Start = i32;
    const ROWS: usize = 12;

    #[inline(always)]
    fn start(from: &[i32; LANES]) -> Self {
        // SAFETY: 64 bytes are there, and the processor has the vectors.
        Self(unsafe { _mm512_loadu_si512(from.as_ptr().cast()) })
    }

    #[inline(always)]
    fn plus_product(self, left: [u8; 4], right: &[[i8; 4]; LANES]) -> Self {
        // SAFETY: as above.
        unsafe {
            let left = _mm512_set1_epi32(i32::from_ne_bytes(left));
            Self(_mm512_dpbusd_epi32(self.0, left, _mm512_loadu_si512(right.as_ptr().cast())))
        }
    }
}

impl Bytes for Vnni {
    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut to = [0; LANES];
        // SAFETY: there is room for 16 numbers.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), self.0) };
        to
    }
}

/// Of `bytes_of_avx2` alone.
#[derive(Clone, Copy)]
struct Avx2Bytes([__m256i; 2]);

impl Sums for Avx2Bytes {
    type Left = [u8; 4];
    type Right = [i8; 4];
    type Start = i32;
    const ROWS: usize = 4;

    #[inline(always)]
    fn start(from: &[i32; LANES]) -> Self {
        let (low, high) = from.split_at(8);
        // SAFETY: 32 bytes are in each, and the processor has the vectors.
        unsafe {
            let low = _mm256_loadu_si256(low.as_ptr().cast());
            Self([low, _mm256_loadu_si256(high.as_ptr().cast())])
        }
    }

    #[inline(always)]
    fn plus_product(self, left: [u8; 4], right: &[[i8; 4]; LANES]) -> Self {
        let (low, high) = right.split_at(8);
        // SAFETY: as above.
        unsafe {
            let left = _mm256_set1_epi32(i32::from_ne_bytes(left));
            // Of bytes alone there is an addition of two products in 16 bits, which overflows:
            // in 16 bits each, and added in 32, they do not.
            let plus = |sum: __m256i, right: __m256i| {
                let low = _mm256_set1_epi32(0x00ff_00ff);
                let even = _mm256_madd_epi16(
                    _mm256_and_si256(left, low),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(right)),
                );
                let odd =
                    _mm256_madd_epi16(_mm256_srli_epi16::<8>(left), _mm256_srai_epi16::<8>(right));
                _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
            };
            let low = plus(self.0[0], _mm256_loadu_si256(low.as_ptr().cast()));
            Self([low, plus(self.0[1], _mm256_loadu_si256(high.as_ptr().cast()))])
        }
    }
}

impl Bytes for Avx2Bytes {
    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        let mut to = [0; LANES];
        let (low, high) = to.split_at_mut(8);
        // SAFETY: there is room for 8 numbers in each.
        unsafe {
            _mm256_storeu_si256(low.as_mut_ptr().cast(), self.0[0]);
            _mm256_storeu_si256(high.as_mut_ptr().cast(), self.0[1]);
        }
        to
    }
}
