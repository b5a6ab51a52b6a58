//! Ranges of a network's feature maps, for 8-bit networks: `calibration.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the record; `calibration.json` carries it as `schema_version`.
pub const CALIBRATION_VERSION: u32 = 1;

/// Ranges of the feature maps that an 8-bit network rounds, measured on training images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// [`CALIBRATION_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// SHA-256 of the file with the network's weights, in lower-case hexadecimal.
    pub weights_sha256: String,
    /// Number of images.
    pub images: usize,
    /// Ranges of each feature map, by its name in an exported network.
    pub feature_maps: BTreeMap<String, FeatureMapRanges>,
}

/// Ranges of the values of a feature map: `[lower, upper]`, of which none is above or below 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FeatureMapRanges {
    /// Minimum and maximum over all batches.
    pub minmax: [f32; 2],
    /// 0.01th and 99.99th percentile, averaged over the batches.
    pub percentile: [f32; 2],
}

impl CalibrationRecord {
    /// Describes the first range that cannot be one.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |[lower, upper]: [f32; 2]| !(lower <= 0.0 && upper >= 0.0);
        for (name, FeatureMapRanges { minmax, percentile }) in &self.feature_maps {
            if let Some([lower, upper]) = [*minmax, *percentile].into_iter().find(|&of| wrong(of)) {
                return Err(format!(
                    "feature_maps: found {lower} to {upper} for {name}, expected a range with 0"
                ));
            }
        }
        Ok(())
    }
}
