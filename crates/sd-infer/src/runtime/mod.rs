//! Engines that run exported networks.
//!
//! A new engine is a file here, a cargo feature, and a variant of [`Engine`].

#[cfg(feature = "rten")]
mod image_by_image;
mod native;
#[cfg(feature = "ort")]
mod ort;
#[cfg(feature = "rten")]
mod rten;

use sd_onnx::quantize::QuantFormat;

use crate::{Batch, Error, Result};
#[cfg(feature = "rten")]
use image_by_image::ImageByImage;

/// A loaded network, or a segment of one.
pub trait Runtime: std::fmt::Debug + Send {
    /// Returns all outputs, in the file's order. A feature map may be
    /// [channels-last](Batch::is_channels_last); only the same engine accepts it then.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the network does not accept the batch.
    fn run(&mut self, batch: Batch) -> Result<Vec<Batch>>;
}

/// An inference engine. All but the native one need the cargo feature of their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Engine {
    /// This project's engine (sd-engine), for the networks that it exports
    #[cfg_attr(feature = "cli", value(alias = "own"))]
    Native,
    /// rten, in pure Rust, for other networks
    Rten,
    /// ONNX Runtime; `ORT_DYLIB_PATH` names its library
    Ort,
}

impl Engine {
    /// Loads the files of a network, whose 8-bit convolutions have format `int8`, into the fastest
    /// engine available: ONNX Runtime if `ORT_DYLIB_PATH` names its library, else the native engine
    /// if it supports the network, else rten.
    ///
    /// # Errors
    /// See [`load`](Self::load).
    pub fn load_fastest(
        files: Vec<Vec<u8>>,
        int8: Option<QuantFormat>,
        threads: usize,
    ) -> Result<(Self, Vec<Box<dyn Runtime>>)> {
        let has_library = std::env::var_os("ORT_DYLIB_PATH").is_some();
        let mut engine = Self::fastest(has_library, int8);
        if engine == Self::Native {
            let load = |bytes: &Vec<u8>| native::load(bytes, threads);
            match files.iter().map(load).collect() {
                Ok(segments) => return Ok((engine, segments)),
                // An unsupported operator is no error if another engine runs the network.
                Err(error) if !cfg!(any(feature = "rten", feature = "ort")) => return Err(error),
                Err(_) => engine = Self::GENERAL,
            }
        }
        let load = |bytes| engine.load(bytes, int8, threads);
        Ok((engine, files.into_iter().map(load).collect::<Result<_>>()?))
    }

    /// ONNX Runtime is slow for [`QuantFormat::ConvInteger`]; the native engine has no [`QuantFormat::Qdq`].
    fn fastest(has_library: bool, int8: Option<QuantFormat>) -> Self {
        match int8 {
            None | Some(QuantFormat::Qdq) if cfg!(feature = "ort") && has_library => Self::Ort,
            None | Some(QuantFormat::ConvInteger) => Self::Native,
            Some(QuantFormat::Qdq) => Self::GENERAL,
        }
    }

    /// The engine for every network that the native one does not support.
    const GENERAL: Self = if cfg!(feature = "rten") { Self::Rten } else { Self::Ort };

    /// Its name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Rten => "rten",
            Self::Ort => "ort",
        }
    }

    /// Loads the bytes of a file, whose 8-bit convolutions have format `int8`, to run on `threads`.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the engine cannot load it, [`Error::NoRuntime`] if the crate was
    /// built without the engine.
    pub fn load(
        self,
        bytes: Vec<u8>,
        int8: Option<QuantFormat>,
        threads: usize,
    ) -> Result<Box<dyn Runtime>> {
        match self {
            Self::Native => native::load(&bytes, threads),
            #[cfg(feature = "rten")]
            Self::Rten => {
                let runtime = Box::new(rten::Rten::load(bytes, threads)?);
                let whole = int8 != Some(QuantFormat::ConvInteger);
                Ok(if whole { runtime } else { Box::new(ImageByImage(runtime)) })
            }
            #[cfg(feature = "ort")]
            Self::Ort => Ok(Box::new(ort::Ort::load(&bytes, threads)?)),
            #[allow(unreachable_patterns, reason = "with every feature, no engine is left")]
            _ => {
                let _ = (bytes, int8, threads);
                Err(Error::NoRuntime(self.name()))
            }
        }
    }
}

/// An error of this engine, with all its causes.
fn failed(engine: Engine, error: impl std::fmt::Display) -> Error {
    Error::Runtime { runtime: engine.name(), reason: format!("{error:#}") }
}

/// Runs `work` and turns its panics into errors, so that a malformed file does not end the process.
fn catch_panic<T, E: std::fmt::Display>(
    engine: Engine,
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    // Unwind safety: models are only read, and recycled buffers are overwritten before they are read.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| failed(engine, error)),
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
    fn onnx_runtime_is_chosen_for_f32_and_qdq_if_its_library_is_named() {
        assert_eq!(Engine::fastest(true, None), Engine::Ort);
        assert_eq!(Engine::fastest(true, Some(QuantFormat::Qdq)), Engine::Ort);
        assert_eq!(Engine::fastest(true, Some(QuantFormat::ConvInteger)), Engine::Native);
        assert_eq!(Engine::fastest(false, None), Engine::Native);
        assert_eq!(Engine::fastest(false, Some(QuantFormat::Qdq)), Engine::Rten);
    }
}
