//! Log lines: for people on standard error, for tools in a file of JSON lines.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Starts logging; `RUST_LOG` chooses what is shown, `info` by default.
///
/// # Errors
/// If the file cannot be opened.
pub fn start(file: Option<&Path>) -> Result<()> {
    start_from("info", file)
}

/// Starts logging from this level on, unless `RUST_LOG` chooses another.
///
/// # Errors
/// If the file cannot be opened.
pub fn start_from(level: &str, file: Option<&Path>) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let people = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .compact();
    let tools = match file {
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            Some(fmt::layer().json().with_writer(file).boxed())
        }
        None => None,
    };
    tracing_subscriber::registry().with(filter).with(people).with(tools).try_init()?;
    Ok(())
}
