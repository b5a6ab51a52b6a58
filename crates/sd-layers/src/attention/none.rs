//! No attention.

use tch::nn;

use super::Attention;
use crate::{Result, Sequential};

/// The feature map unchanged.
pub struct NoAttention;

impl Attention for NoAttention {
    fn build(&self, _: &nn::Path, _: i64) -> Result<Sequential> {
        Ok(Sequential::new())
    }
}
