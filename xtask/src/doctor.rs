//! stub
use anyhow::Result;
pub fn doctor(_json: bool) -> Result<std::process::ExitCode> { Ok(std::process::ExitCode::SUCCESS) }
