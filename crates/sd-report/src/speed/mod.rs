//! Display of benchmark records: one record as text for a terminal, and the comparison with PyTorch
//! as a document.

mod peers;
mod record;

pub use peers::{Peers, document};
pub use record::text;

use crate::format::number::{NONE, rate, time};
use crate::measurement::Measurement;

/// Mode of this project's own measurements.
pub const NATIVE: &str = "native";

/// Median time and images per second, such as `1.23 ms (813/s)`.
fn time_and_rate(seconds: Option<f64>, images_per_second: Option<f64>) -> String {
    match (seconds, images_per_second) {
        (Some(seconds), Some(images)) => format!("{} ({}/s)", time(seconds), rate(images)),
        _ => NONE.to_owned(),
    }
}

/// Interquartile range of the repetitions, such as `1.20 ms–1.31 ms`.
fn spread(measurement: &Measurement) -> String {
    let quantile = |p| measurement.timing.quantile(p);
    match (quantile(0.25), quantile(0.75)) {
        (Some(low), Some(high)) => format!("{}–{}", time(low), time(high)),
        _ => NONE.to_owned(),
    }
}
