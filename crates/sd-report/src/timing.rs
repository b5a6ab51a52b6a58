//! Times of repeated measurements.

use serde::{Deserialize, Serialize};

use crate::stats;

/// Seconds of each repetition in order, without warm-up.
///
/// ```
/// let timing = sd_report::Timing { raw_seconds: vec![2.0, 3.0, 1.0] };
/// assert_eq!(timing.median(), Some(2.0));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// One value per repetition.
    pub raw_seconds: Vec<f64>,
}

impl Timing {
    /// Returns the median in seconds; `None` without repetitions.
    pub fn median(&self) -> Option<f64> {
        stats::median(&self.raw_seconds)
    }

    /// Returns the mean in seconds; `None` without repetitions.
    pub fn mean(&self) -> Option<f64> {
        stats::mean(&self.raw_seconds)
    }

    /// Returns a quantile in seconds, see [`stats::quantile`].
    pub fn quantile(&self, p: f64) -> Option<f64> {
        stats::quantile(&self.raw_seconds, p)
    }
}
