//! What runs a network.
//!
//! A new runtime is a file here, a cargo feature, and a variant of [`Engine`]. Our own kernels are
//! always there, and run what they have a kernel for.

mod native;
#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "rten")]
mod rten;
#[cfg(feature = "rten")]
mod single_image;
#[cfg(feature = "tract")]
mod tract;

use sd_onnx::quantize::Form;

use crate::{Batch, Error, Result};
#[cfg(feature = "rten")]
use single_image::OneByOne;

/// A loaded network, or a segment of one.
pub trait Runtime: std::fmt::Debug + Send {
    /// All outputs, in the file's order. A map is for the same engine alone, whose next segment
    /// takes it: our own kernels give it [channels last](Batch::is_channels_last).
    ///
    /// # Errors
    /// [`Error::Runtime`] if the network does not take such a batch.
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>>;
}

/// The runtimes there are. Each but our own needs the cargo feature of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Engine {
    /// Kernels of our own, for convolutional networks
    Own,
    /// rten: pure Rust
    Rten,
    /// tract: pure Rust, one thread
    Tract,
    /// ONNX Runtime; `ORT_DYLIB_PATH` names its library
    Ort,
}

impl Engine {
    /// Loads the files of a network, whose convolutions have this form, into the fastest runtime of
    /// those that the crate was built with: ONNX Runtime where `ORT_DYLIB_PATH` names its library,
    /// else our own kernels where they have all that it takes, else rten, else tract.
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub fn load_fastest(
        files: Vec<Vec<u8>>,
        int8: Option<Form>,
        threads: usize,
    ) -> Result<(Self, Vec<Box<dyn Runtime>>)> {
        let has_library = std::env::var_os("ORT_DYLIB_PATH").is_some();
        let mut engine = Self::fastest_where(has_library, int8);
        if engine == Self::Own {
            let part = |bytes: &Vec<u8>| -> Result<Box<dyn Runtime>> {
                Ok(Box::new(native::load(bytes, threads)?))
            };
            match files.iter().map(part).collect() {
                Ok(parts) => return Ok((engine, parts)),
                // That there is no such kernel is no error where another runtime is there.
                Err(error) if !cfg!(any(feature = "rten", feature = "tract", feature = "ort")) => {
                    return Err(error);
                }
                Err(_) => engine = Self::fastest_other(),
            }
        }
        let part = |bytes| engine.load(bytes, int8, threads);
        Ok((engine, files.into_iter().map(part).collect::<Result<_>>()?))
    }

    /// ONNX Runtime computes [`Form::ConvInteger`] slowly, our own kernels no [`Form::Qdq`].
    fn fastest_where(has_library: bool, int8: Option<Form>) -> Self {
        match int8 {
            None | Some(Form::Qdq) if cfg!(feature = "ort") && has_library => Self::Ort,
            None | Some(Form::ConvInteger) => Self::Own,
            Some(Form::Qdq) => Self::fastest_other(),
        }
    }

    /// Of those that run every network; ONNX Runtime where there is no other.
    const fn fastest_other() -> Self {
        if cfg!(feature = "rten") {
            Self::Rten
        } else if cfg!(feature = "tract") {
            Self::Tract
        } else {
            Self::Ort
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Rten => "rten",
            Self::Tract => "tract",
            Self::Ort => "ort",
        }
    }

    /// Loads a file's bytes, whose convolutions have this form, to be run on this many threads.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the runtime cannot load them, [`Error::NoRuntime`] if the crate was
    /// built without it.
    pub fn load(
        self,
        bytes: Vec<u8>,
        int8: Option<Form>,
        threads: usize,
    ) -> Result<Box<dyn Runtime>> {
        match self {
            Self::Own => Ok(Box::new(native::load(&bytes, threads)?)),
            #[cfg(feature = "rten")]
            Self::Rten => {
                let runtime = Box::new(rten::Rten::load(bytes, threads)?);
                let whole = int8 != Some(Form::ConvInteger);
                Ok(if whole { runtime } else { Box::new(OneByOne(runtime)) })
            }
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
                let _ = (bytes, int8, threads);
                Err(Error::NoRuntime(self.name()))
            }
        }
    }
}

/// An error of this runtime, with all its causes.
fn failed(engine: Engine, error: impl std::fmt::Display) -> Error {
    Error::Runtime { runtime: engine.name(), reason: format!("{error:#}") }
}

/// What `work` gives, its panics as errors: a file that a runtime did not think of is no reason
/// for a program to end.
fn caught<T, E: std::fmt::Display>(
    engine: Engine,
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    // Nothing that the work leaves half done is used after a panic: it reads the model, and the
    // memory of maps that it gives back is written before it is read.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| failed(engine, error)),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(failed(engine, format_args!("panicked: {}", message.unwrap_or("no message"))))
        }
    }
}

#[cfg(all(test, feature = "rten", feature = "ort"))]
mod tests {
    use super::*;

    #[test]
    fn onnx_runtime_runs_what_it_is_fast_in_where_its_library_is_named() {
        assert_eq!(Engine::fastest_where(true, None), Engine::Ort);
        assert_eq!(Engine::fastest_where(true, Some(Form::Qdq)), Engine::Ort);
        assert_eq!(Engine::fastest_where(true, Some(Form::ConvInteger)), Engine::Own);
        assert_eq!(Engine::fastest_where(false, None), Engine::Own);
        assert_eq!(Engine::fastest_where(false, Some(Form::Qdq)), Engine::Rten);
    }
}
