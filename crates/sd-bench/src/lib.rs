//! Records of runs and measurements, and the reports made from them
pub mod record;
pub use record::*;
/// host
pub struct Host;
impl Host { /// capture
 pub fn capture() {} }
