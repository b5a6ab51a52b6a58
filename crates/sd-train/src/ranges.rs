//! Range checks of a configuration's numbers. Each error names the key, the value and the range.

use std::fmt::Display;

use anyhow::{Result, ensure};

/// Checks a number from 0 to 1.
pub(crate) fn share(key: impl Display, value: f64) -> Result<()> {
    ensure!((0.0..=1.0).contains(&value), "{key} is {value}, expected 0 to 1");
    Ok(())
}

/// Checks a number from 0 to below 1.
pub(crate) fn share_below_one(key: impl Display, value: f64) -> Result<()> {
    ensure!((0.0..1.0).contains(&value), "{key} is {value}, expected 0 to below 1");
    Ok(())
}

/// Checks a number above 0 and below 1.
pub(crate) fn inner_share(key: impl Display, value: f64) -> Result<()> {
    ensure!(value > 0.0 && value < 1.0, "{key} is {value}, expected above 0 and below 1");
    Ok(())
}

/// Checks a number above 0, such as a temperature.
pub(crate) fn positive(key: impl Display, value: f64) -> Result<()> {
    ensure!(value > 0.0 && value.is_finite(), "{key} is {value}, expected a number above 0");
    Ok(())
}

/// Checks a number of at least 0, such as a weight.
pub(crate) fn non_negative(key: impl Display, value: f64) -> Result<()> {
    ensure!(value >= 0.0 && value.is_finite(), "{key} is {value}, expected a number of at least 0");
    Ok(())
}
