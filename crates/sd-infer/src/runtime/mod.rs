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
mod within_limits;

use std::time::Instant;

use sd_onnx::quantize::QuantFormat;
use sd_onnx::read_model;

use crate::{Batch, Error, Options, Result};
#[cfg(feature = "rten")]
use image_by_image::ImageByImage;
use within_limits::{Segment, WithinLimits};

pub(crate) use within_limits::check;

/// A loaded network, or a segment of one.
pub trait Runtime: std::fmt::Debug + Send {
    /// Returns all outputs, in the file's order. A feature map may be
    /// [channels-last](Batch::is_channels_last); only the same engine accepts it then. The native
    /// engine checks the deadline between the nodes, the others before they start.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the network does not accept the batch, or the deadline passes.
    fn run(&mut self, batch: Batch, deadline: Option<Instant>) -> Result<Vec<Batch>>;
}

/// An inference engine. All but the native one need the cargo feature of their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Engine {
    /// This project's engine (sd-engine), for most exported networks
    #[cfg_attr(feature = "cli", value(alias = "own"))]
    Native,
    /// rten, in pure Rust, for the others
    Rten,
    /// ONNX Runtime; `ORT_DYLIB_PATH` names its library
    Ort,
}

impl Engine {
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

    /// Loads the bytes of a file, whose 8-bit convolutions have format `int8`, within the limits of
    /// the options.
    ///
    /// # Errors
    /// [`Error::Graph`] if the file is malformed or exceeds a limit, [`Error::Runtime`] if the engine
    /// cannot load it, [`Error::NoRuntime`] if the crate was built without the engine.
    pub fn load(
        self,
        bytes: &[u8],
        int8: Option<QuantFormat>,
        options: &Options,
    ) -> Result<Box<dyn Runtime>> {
        let options = Options { engine: Some(self), ..*options };
        let segments = check(vec![read_model(bytes)?], &options)?;
        let (_, mut segments) = load(segments, int8, &options)?;
        Ok(segments.remove(0))
    }

    /// Loads a segment into an engine other than the native one.
    fn load_general(
        self,
        segment: Segment,
        int8: Option<QuantFormat>,
        threads: usize,
    ) -> Result<Box<dyn Runtime>> {
        let load = |bytes: Vec<u8>| -> Result<Box<dyn Runtime>> {
            match self {
                #[cfg(feature = "rten")]
                Self::Rten => {
                    let runtime = Box::new(rten::Rten::load(bytes, threads)?);
                    let whole = int8 != Some(QuantFormat::ConvInteger);
                    Ok(if whole { runtime } else { Box::new(ImageByImage(runtime)) })
                }
                #[cfg(feature = "ort")]
                Self::Ort => Ok(Box::new(ort::Ort::load(&bytes, threads)?)),
                _ => {
                    let _ = (bytes, int8, threads);
                    Err(Error::NoRuntime(self.name()))
                }
            }
        };
        Ok(Box::new(WithinLimits::load(self, segment, load)?))
    }
}

/// Loads the segments of a network, whose 8-bit convolutions have format `int8`, into the engine that
/// the options name. Without one: ONNX Runtime if `ORT_DYLIB_PATH` names its library, else the native
/// engine if it supports the network, else rten.
pub(crate) fn load(
    segments: Vec<Segment>,
    int8: Option<QuantFormat>,
    options: &Options,
) -> Result<(Engine, Vec<Box<dyn Runtime>>)> {
    let has_library = std::env::var_os("ORT_DYLIB_PATH").is_some();
    let mut engine = options.engine.unwrap_or_else(|| Engine::fastest(has_library, int8));
    if engine == Engine::Native {
        let load = |segment: &Segment| native::load(segment, options.threads);
        let loaded = segments.iter().map(load).collect::<Result<Vec<_>>>()?;
        match loaded.into_iter().collect::<sd_engine::Result<_>>() {
            Ok(segments) => return Ok((engine, segments)),
            // Another engine may run operators without a kernel, but nothing that exceeds a limit.
            Err(error) if options.engine.is_none() && native::is_unsupported(&error) => {
                engine = Engine::GENERAL;
            }
            Err(error) => return Err(failed(engine, error)),
        }
    }
    let load = |segment| engine.load_general(segment, int8, options.threads);
    Ok((engine, segments.into_iter().map(load).collect::<Result<_>>()?))
}

/// An error of this engine, with all its causes.
fn failed(engine: Engine, error: impl std::fmt::Display) -> Error {
    Error::Runtime { runtime: engine.name(), reason: format!("{error:#}") }
}

/// Runs `work` and turns its panics into errors, so that a malformed file does not end the process.
fn catch_panic<T>(engine: Engine, work: impl FnOnce() -> T) -> Result<T> {
    // Unwind safety: models are only read, and recycled buffers are overwritten before they are read.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
        failed(engine, format_args!("panicked: {}", message.unwrap_or("no message")))
    })
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
