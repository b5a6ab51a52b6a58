//! The native engine (`sd-engine`).

use sd_engine::{Network, Options};

use super::{Engine, Runtime, catch_panic};
use crate::{Batch, Result};

/// Loads a file to run on `threads`.
pub fn load(bytes: &[u8], threads: usize) -> Result<Box<dyn Runtime>> {
    let options = Options { threads, ..Options::default() };
    Ok(Box::new(catch_panic(Engine::Native, || Network::load(bytes, options))?))
}

impl Runtime for Network {
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>> {
        catch_panic(Engine::Native, || Network::run(self, batch))
    }
}
