//! ONNX Runtime (<https://onnxruntime.ai>), through the ort crate. Its library is loaded at run time
//! from `ORT_DYLIB_PATH`, such as the one in PyPI's wheel `onnxruntime`.

use std::time::Instant;

use ort::session::Session;
use ort::value::Tensor;

use super::{Engine, Runtime, failed};
use crate::{Batch, Result};

/// A network in ONNX Runtime.
#[derive(Debug)]
pub struct Ort(Session);

impl Ort {
    /// Loads a file.
    pub fn load(bytes: &[u8], threads: usize) -> Result<Self> {
        // Without this check, ort panics if it finds no library.
        let path = std::env::var_os("ORT_DYLIB_PATH").ok_or_else(|| {
            failed(
                Engine::Ort,
                "ORT_DYLIB_PATH is not set, expected the path of ONNX Runtime's library",
            )
        })?;
        let environment = ort::init_from(path).map_err(|error| failed(Engine::Ort, error))?;
        environment.commit();
        // A staged network is several sessions with their own threads: those of an earlier segment
        // must not spin while the next segment computes.
        let session = || {
            Session::builder()?
                .with_intra_threads(threads)?
                .with_config_entry("session.force_spinning_stop", "1")?
                .commit_from_memory(bytes)
        };
        Ok(Self(session().map_err(|error: ort::Error| failed(Engine::Ort, error))?))
    }
}

impl Runtime for Ort {
    fn run(&mut self, batch: Batch, _: Option<Instant>) -> Result<Vec<Batch>> {
        let batches = || -> ort::Result<Option<Vec<Batch>>> {
            let input = Tensor::from_array(batch.into_parts())?;
            let outputs = self.0.run(ort::inputs![input])?;
            let batch = |value: ort::value::ValueRef<'_>| {
                let (shape, values) = value.try_extract_tensor::<f32>()?;
                let shape = shape.iter().map(|&side| side as usize).collect();
                Ok(Batch::new(shape, values.to_vec()))
            };
            outputs.into_iter().map(|(_, value)| batch(value.view())).collect()
        };
        let unfit = || failed(Engine::Ort, "expected a network whose outputs are batches of f32");
        batches().map_err(|error| failed(Engine::Ort, error))?.ok_or_else(unfit)
    }
}
