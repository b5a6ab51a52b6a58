//! The native engine (`sd-engine`).

use sd_engine::{Network, Options};

use super::{Engine, Runtime, caught};
use crate::{Batch, Result};

/// Loads a file to run on this many threads.
pub fn load(bytes: &[u8], threads: usize) -> Result<Network> {
    let options = Options { threads, ..Options::default() };
    caught(Engine::Own, || Network::load(bytes, options))
}

impl Runtime for Network {
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>> {
        caught(Engine::Own, || Network::run(self, batch))
    }
}
