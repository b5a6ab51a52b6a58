//! No attention.

use tch::nn;

use super::Attention;
use crate::{Block, Result, Sequential};

/// The feature map unchanged.
pub struct NoAttention;

impl Attention for NoAttention {
    fn build(&self, _: &nn::Path, _: i64) -> Result<Box<dyn Block>> {
        Ok(Box::new(Sequential::new()))
    }

    fn name(&self) -> &'static str {
        "none"
    }
}
