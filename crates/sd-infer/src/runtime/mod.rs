//! What runs a network.
//!
//! A new runtime is a file here, a cargo feature, and a variant of [`Engine`].

#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "rten")]
mod rten;
#[cfg(feature = "tract")]
mod tract;

use crate::{Batch, Error, Result};

/// A loaded network, or a segment of one.
pub trait Runtime: std::fmt::Debug + Send {
    /// All outputs, in the file's order.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the network does not take such a batch.
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>>;
}

/// The runtimes there are. Each needs the cargo feature of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Engine {
    /// rten: pure Rust
    Rten,
    /// tract: pure Rust, one thread
    Tract,
    /// ONNX Runtime; `ORT_DYLIB_PATH` names its library
    Ort,
}

impl Default for Engine {
    /// The first of this list that the crate was built with.
    fn default() -> Self {
        if cfg!(feature = "rten") {
            Self::Rten
        } else if cfg!(feature = "ort") {
            Self::Ort
        } else {
            Self::Tract
        }
    }
}

impl Engine {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rten => "rten",
            Self::Tract => "tract",
            Self::Ort => "ort",
        }
    }

    /// Loads a file's bytes, to be run on this many threads.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the runtime cannot load them, [`Error::NoRuntime`] if the crate was
    /// built without it.
    pub fn load(self, bytes: Vec<u8>, threads: usize) -> Result<Box<dyn Runtime>> {
        match self {
            #[cfg(feature = "rten")]
            Self::Rten => Ok(Box::new(rten::Rten::load(bytes, threads)?)),
            #[cfg(feature = "tract")]
            Self::Tract if threads == 1 => Ok(Box::new(tract::Tract::load(&bytes)?)),
            #[cfg(feature = "tract")]
            Self::Tract => Err(Error::Value {
                key: "threads",
                found: threads.to_string(),
                expected: "1, for tract runs on one thread",
            }),
            #[cfg(feature = "ort")]
            Self::Ort => Ok(Box::new(ort::Ort::load(&bytes, threads)?)),
            #[allow(unreachable_patterns, reason = "with every feature there is none left")]
            _ => {
                let _ = (bytes, threads);
                Err(Error::NoRuntime(self.name()))
            }
        }
    }
}

/// An error of this runtime, with all its causes.
#[cfg(any(feature = "rten", feature = "tract", feature = "ort"))]
fn failed(engine: Engine, error: impl std::fmt::Display) -> Error {
    Error::Runtime { runtime: engine.name(), reason: format!("{error:#}") }
}
