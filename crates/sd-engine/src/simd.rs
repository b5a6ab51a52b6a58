//! Sixteen lanes at once, in the widest vectors of the processor.

#![allow(unsafe_code, reason = "SIMD intrinsics; each use says why it is sound")]

/// Values per vector.
pub const LANES: usize = 16;

/// Sixteen running sums of products.
pub trait Accumulator: Copy {
    /// The factor that all lanes share.
    type Scalar: Copy;
    /// The factor of a lane.
    type Lane: Copy;
    /// Initial value of a lane's sum.
    type Init: Copy;
    /// Rows of a matrix product whose accumulators fit the registers: 4, 6 or 12.
    const TILE_ROWS: usize;

    fn load(init: &[Self::Init; LANES]) -> Self;
    /// Adds `scalar · lanes`.
    fn mul_add_scalar(self, scalar: Self::Scalar, lanes: &[Self::Lane; LANES]) -> Self;
}

/// Sixteen `f32`.
pub trait FloatVector: Accumulator<Scalar = f32, Lane = f32, Init = f32> {
    /// Adds `a · b`, lane by lane.
    fn mul_add(self, a: &[f32; LANES], b: &[f32; LANES]) -> Self;
    /// The maximum of each lane; `self`'s if either is NaN.
    fn max(self, other: &[f32; LANES]) -> Self;
    /// `max(0, x)`; NaN stays NaN.
    fn relu(self) -> Self;
    fn store(self) -> [f32; LANES];
}

/// Sixteen `i32` sums of 8-bit products, four products per lane and step.
pub trait Int8Accumulator: Accumulator<Scalar = [u8; 4], Lane = [i8; 4], Init = i32> {
    fn store(self) -> [i32; LANES];
}

/// A loop over floats, generic over the vectors. Its methods must be inlined.
pub trait FloatLoop {
    fn run<F: FloatVector>(self);
}

/// A loop over bytes, generic over the vectors. Its methods must be inlined.
pub trait Int8Loop {
    fn run<A: Int8Accumulator>(self);
}

/// Runs a loop with the widest float vectors of the processor.
pub fn dispatch_float(task: impl FloatLoop) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has these features.
            return unsafe { x86::float_avx512(task) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has these features.
            return unsafe { x86::float_avx2(task) };
        }
    }
    task.run::<[f32; LANES]>();
}

/// Runs a loop with the widest byte vectors of the processor.
pub fn dispatch_int8(task: impl Int8Loop) {
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx512 =
            is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        if has_avx512 && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the processor has these features.
            return unsafe { x86::int8_vnni(task) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has this feature.
            return unsafe { x86::int8_avx2(task) };
        }
    }
    task.run::<[i32; LANES]>();
}

/// `max(0, x)` in place; NaN stays NaN.
#[inline(always)]
pub fn relu(value: &mut f32) {
    // An assignment in either case compiles without a branch.
    *value = if *value < 0.0 { 0.0 } else { *value };
}

/// The first sixteen values, padded with zeros.
#[inline(always)]
pub fn load_partial(values: &[f32]) -> [f32; LANES] {
    match values.first_chunk() {
        Some(lanes) => *lanes,
        None => std::array::from_fn(|lane| values.get(lane).copied().unwrap_or_default()),
    }
}

/// Writes as many lanes as `to` holds.
#[inline(always)]
pub fn store_partial(lanes: [f32; LANES], to: &mut [f32]) {
    match to.first_chunk_mut() {
        Some(chunk) => *chunk = lanes,
        None => to.copy_from_slice(&lanes[..to.len()]),
    }
}

/// Splits values into vectors; the last one is padded with zeros.
pub fn to_lanes<T: Copy + Default>(values: &[T]) -> Vec<[T; LANES]> {
    let vector =
        |values: &[T]| std::array::from_fn(|lane| values.get(lane).copied().unwrap_or_default());
    values.chunks(LANES).map(vector).collect()
}

impl Accumulator for [f32; LANES] {
    type Scalar = f32;
    type Lane = f32;
    type Init = f32;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn load(init: &[f32; LANES]) -> Self {
        *init
    }

    #[inline(always)]
    fn mul_add_scalar(mut self, scalar: f32, lanes: &[f32; LANES]) -> Self {
        self.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum += scalar * lane);
        self
    }
}

impl FloatVector for [f32; LANES] {
    #[inline(always)]
    fn mul_add(mut self, a: &[f32; LANES], b: &[f32; LANES]) -> Self {
        (0..LANES).for_each(|lane| self[lane] += a[lane] * b[lane]);
        self
    }

    #[inline(always)]
    fn max(mut self, other: &[f32; LANES]) -> Self {
        let pairs = self.iter_mut().zip(other);
        pairs.for_each(|(value, &other)| *value = if other > *value { other } else { *value });
        self
    }

    #[inline(always)]
    fn relu(mut self) -> Self {
        self.iter_mut().for_each(relu);
        self
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        self
    }
}

impl Accumulator for [i32; LANES] {
    type Scalar = [u8; 4];
    type Lane = [i8; 4];
    type Init = i32;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn load(init: &[i32; LANES]) -> Self {
        *init
    }

    #[inline(always)]
    fn mul_add_scalar(mut self, scalar: [u8; 4], lanes: &[[i8; 4]; LANES]) -> Self {
        for (sum, lane) in self.iter_mut().zip(lanes) {
            let products = scalar.iter().zip(lane).map(|(&a, &b)| i32::from(a) * i32::from(b));
            *sum = sum.wrapping_add(products.sum());
        }
        self
    }
}

impl Int8Accumulator for [i32; LANES] {
    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;
