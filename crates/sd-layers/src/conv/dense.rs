//! The dense convolution.

use tch::nn;

use super::{ConvGeometry, ConvKind, Convolution};
use crate::{Result, Sequential};

/// One window over all channels.
pub struct Dense;

impl ConvKind for Dense {
    fn build(&self, vs: &nn::Path, geometry: ConvGeometry) -> Result<Sequential> {
        Ok(Sequential::new().then(Convolution::dense(vs, geometry)))
    }

    fn name(&self) -> String {
        "dense".to_owned()
    }
}
