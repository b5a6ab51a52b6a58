//! The deepest exit's logits: `logits WEIGHTS IMAGES OUT`, for comparisons with other programs.
//!
//! WEIGHTS are a run's, or what `weights import` wrote; IMAGES is a safetensors file with a tensor
//! `images`, `[N, C, H, W]` in `f32`, normalised already; OUT gets `logits`, `[N, K]`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sd_layers::{Precision, channels_last};
use sd_models::{MultiExit, TensorFile, variables};
use sd_train::evaluation::weights;
use tch::nn::ModuleT;
use tch::{Device, nn};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [weights_path, images, out] = &arguments[..] else {
        bail!("expected three arguments: WEIGHTS IMAGES OUT");
    };
    let path = Path::new(weights_path);
    let file = TensorFile::read(path)?;
    let experiment = weights::experiment(&file, path)?;
    let vs = nn::VarStore::new(Device::Cpu);
    let network =
        MultiExit::build(&vs.root(), &experiment.model, experiment.task(), Precision::F32)?;
    file.copy_into(&variables(&vs), path)?;
    drop(file);

    let batch = TensorFile::read(Path::new(images))?;
    let batch = batch.tensors.get("images").with_context(|| format!("{images} has no `images`"))?;
    let logits = tch::no_grad(|| network.forward_t(&channels_last(batch), false));
    let tensors = [("logits".to_owned(), logits)].into();
    std::fs::write(out, TensorFile { tensors, metadata: HashMap::new() }.to_bytes()?)?;
    Ok(())
}
