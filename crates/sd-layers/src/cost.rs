//! The cost of a block.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Trainable parameters, and multiply-accumulates for one image.
///
/// Only convolutions and linear layers count, the convention of the papers that this project compares
/// with; normalisation, activation, pooling and elementwise products do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Trainable parameters, without running statistics.
    pub params: u64,
    /// Multiply-accumulates for one image.
    pub macs: u64,
}

impl Cost {
    /// No parameters and no multiply-accumulates.
    pub const ZERO: Self = Self { params: 0, macs: 0 };
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { params: self.params + other.params, macs: self.macs + other.macs }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Add::add)
    }
}
