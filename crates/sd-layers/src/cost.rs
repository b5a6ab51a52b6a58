//! The cost of a block.

use derive_more::{Add, AddAssign, Sum};
use serde::{Deserialize, Serialize};

/// Trainable parameters, and multiply-accumulates for one image.
///
/// Only convolutions and linear layers count, the convention of the papers that this project compares
/// with; normalisation, activation, pooling and elementwise products do not.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Add, AddAssign, Sum, Serialize, Deserialize,
)]
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
