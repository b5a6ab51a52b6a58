//! The native engine (`sd-engine`).

use std::time::Instant;

use sd_engine::{Error, Network, Options};

use super::within_limits::Segment;
use super::{Engine, Runtime, catch_panic, failed};
use crate::{Batch, Result};

/// Loads a segment to run on `threads`. The outer error is a panic.
pub fn load(segment: &Segment, threads: usize) -> Result<sd_engine::Result<Box<dyn Runtime>>> {
    let Segment { max_memory, max_work, .. } = *segment;
    let max_memory = usize::try_from(max_memory).unwrap_or(usize::MAX);
    let options = Options { threads, max_memory, max_work };
    let network = catch_panic(Engine::Native, || Network::from_graph(segment.graph(), options))?;
    Ok(network.map(|network| Box::new(network) as Box<dyn Runtime>))
}

/// Whether the engine lacks a kernel, and another engine may run the network.
pub fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. } | Error::Shape { .. } | Error::Graph(_))
}

impl Runtime for Network {
    fn run(&mut self, batch: Batch, deadline: Option<Instant>) -> Result<Vec<Batch>> {
        let outputs = catch_panic(Engine::Native, || self.run_until(batch, deadline))?;
        outputs.map_err(|error| failed(Engine::Native, error))
    }
}
