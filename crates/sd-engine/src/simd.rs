//! Sixteen numbers at once, in the widest vectors that the processor has.

#![allow(unsafe_code, reason = "the processor's vectors; each use says why it is sound")]

/// Numbers that are taken at once.
pub const LANES: usize = 16;

/// Sums of products, each of one number with sixteen others.
pub trait Sums: Copy {
    /// The one number.
    type Left: Copy;
    /// One of the sixteen.
    type Right: Copy;
    /// What a sum starts from.
    type Start: Copy;
    /// Rows of sums that the processor's registers hold: 4, 6 or 12.
    const ROWS: usize;

    fn start(from: &[Self::Start; LANES]) -> Self;
    fn plus_product(self, left: Self::Left, right: &[Self::Right; LANES]) -> Self;
}

/// Sixteen floats.
pub trait Floats: Sums<Left = f32, Right = f32, Start = f32> {
    /// Plus the products of each with each.
    fn plus_products(self, left: &[f32; LANES], right: &[f32; LANES]) -> Self;
    /// The larger ones. Of a number and what is no number, `self`'s.
    fn largest(self, other: &[f32; LANES]) -> Self;
    /// Nothing below zero. What is no number stays none.
    fn rectified(self) -> Self;
    fn store(self) -> [f32; LANES];
}

/// Sixteen sums of products of bytes, four to a lane.
pub trait Bytes: Sums<Left = [u8; 4], Right = [i8; 4], Start = i32> {
    fn store(self) -> [i32; LANES];
}

/// What can be done with floats of any processor. Its methods have to be inlined.
pub trait Work {
    fn run<F: Floats>(self);
}

/// What can be done with bytes of any processor. Its methods have to be inlined.
pub trait ByteWork {
    fn run<B: Bytes>(self);
}

/// Does this work with the widest floats there are.
pub fn with_floats(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has them.
            return unsafe { x86::floats_of_avx512(work) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has them.
            return unsafe { x86::floats_of_avx2(work) };
        }
    }
    work.run::<[f32; LANES]>();
}

/// Does this work with the widest bytes there are.
pub fn with_bytes(work: impl ByteWork) {
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx512 =
            is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        if has_avx512 && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the processor has them.
            return unsafe { x86::bytes_of_vnni(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has it.
            return unsafe { x86::bytes_of_avx2(work) };
        }
    }
    work.run::<[i32; LANES]>();
}

/// Nothing below zero. What is no number stays none.
#[inline(always)]
pub fn rectify(number: &mut f32) {
    // An assignment in either case, so that no branch is needed.
    *number = if *number < 0.0 { 0.0 } else { *number };
}

/// The first numbers, zeros where there are fewer than sixteen.
#[inline(always)]
pub fn sixteen(numbers: &[f32]) -> [f32; LANES] {
    match numbers.first_chunk() {
        Some(whole) => *whole,
        None => std::array::from_fn(|lane| numbers.get(lane).copied().unwrap_or_default()),
    }
}

/// As many of the sixteen as there is room for.
#[inline(always)]
pub fn write(numbers: [f32; LANES], to: &mut [f32]) {
    match to.first_chunk_mut() {
        Some(whole) => *whole = numbers,
        None => to.copy_from_slice(&numbers[..to.len()]),
    }
}

impl Sums for [f32; LANES] {
    type Left = f32;
    type Right = f32;
    type Start = f32;
    const ROWS: usize = 4;

    #[inline(always)]
    fn start(from: &[f32; LANES]) -> Self {
        *from
    }

    #[inline(always)]
    fn plus_product(mut self, left: f32, right: &[f32; LANES]) -> Self {
        self.iter_mut().zip(right).for_each(|(sum, right)| *sum += left * right);
        self
    }
}

impl Floats for [f32; LANES] {
    #[inline(always)]
    fn plus_products(mut self, left: &[f32; LANES], right: &[f32; LANES]) -> Self {
        (0..LANES).for_each(|lane| self[lane] += left[lane] * right[lane]);
        self
    }

    #[inline(always)]
    fn largest(mut self, other: &[f32; LANES]) -> Self {
        let pairs = self.iter_mut().zip(other);
        pairs.for_each(|(number, &other)| *number = if other > *number { other } else { *number });
        self
    }

    #[inline(always)]
    fn rectified(mut self) -> Self {
        self.iter_mut().for_each(rectify);
        self
    }

    #[inline(always)]
    fn store(self) -> [f32; LANES] {
        self
    }
}

impl Sums for [i32; LANES] {
    type Left = [u8; 4];
    type Right = [i8; 4];
    type Start = i32;
    const ROWS: usize = 4;

    #[inline(always)]
    fn start(from: &[i32; LANES]) -> Self {
        *from
    }

    #[inline(always)]
    fn plus_product(mut self, left: [u8; 4], right: &[[i8; 4]; LANES]) -> Self {
        for (sum, right) in self.iter_mut().zip(right) {
            let products = left.iter().zip(right).map(|(&l, &r)| i32::from(l) * i32::from(r));
            *sum = sum.wrapping_add(products.sum());
        }
        self
    }
}

impl Bytes for [i32; LANES] {
    #[inline(always)]
    fn store(self) -> [i32; LANES] {
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;
