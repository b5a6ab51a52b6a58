//! The dense convolution.

use tch::nn;

use super::{ConvGeometry, ConvKind, Convolution};
use crate::{Block, Result};

/// One window over all channels.
pub struct Dense;

impl ConvKind for Dense {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Box<dyn Block>> {
        Ok(Box::new(Convolution::new(vs, geometry, 1)?))
    }

    fn name(&self) -> String {
        "dense".to_owned()
    }
}
