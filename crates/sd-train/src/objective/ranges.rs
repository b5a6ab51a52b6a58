//! Range checks of objective values.

use anyhow::{Result, ensure};

/// Checks a number from 0 to 1.
pub(super) fn share(name: &str, value: f64) -> Result<()> {
    ensure!((0.0..=1.0).contains(&value), "objective: {name} is {value}, expected 0 to 1");
    Ok(())
}

/// Checks a number from 0 to below 1.
pub(super) fn share_below_one(name: &str, value: f64) -> Result<()> {
    ensure!((0.0..1.0).contains(&value), "objective: {name} is {value}, expected 0 to below 1");
    Ok(())
}

/// Checks a positive number, such as a temperature.
pub(super) fn positive(name: &str, value: f64) -> Result<()> {
    ensure!(
        value > 0.0 && value.is_finite(),
        "objective: {name} is {value}, expected a number above 0"
    );
    Ok(())
}

/// Checks the weight of a term.
pub(super) fn weight(name: &str, value: f64) -> Result<()> {
    ensure!(
        value >= 0.0 && value.is_finite(),
        "objective: {name} is {value}, expected a number of at least 0"
    );
    Ok(())
}
