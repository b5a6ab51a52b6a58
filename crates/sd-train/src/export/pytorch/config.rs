//! `config.json` of a folder for PyTorch.

use anyhow::Result;
use sd_models::Library;
use sd_onnx::{Input, Resize};
use serde_json::{Map, Value, json};

use super::Source;

impl Source<'_> {
    /// The configuration that `modeling.py` reads, and timm if it has the network.
    pub(super) fn config(&self) -> Result<String> {
        let mut config = json!({
            "model_type": "selfdistill",
            "selfdistill_version": env!("CARGO_PKG_VERSION"),
            "model": self.experiment.model,
            "input": self.data.input,
            "num_classes": self.data.classes.len(),
            "label_names": self.data.classes,
        });
        if let Some(architecture) = self.timm_architecture() {
            let config = config.as_object_mut().expect("a map");
            config.extend(self.of_timm(&architecture)?);
        }
        Ok(format!("{config:#}\n"))
    }

    fn of_timm(&self, architecture: &str) -> Result<Map<String, Value>> {
        let layers = self.experiment.model.backbone.get().layer_names(Library::Timm)?;
        let names = |index: usize| layers[index].theirs.as_str();
        let Input { channels, height, width, resize, mean, deviation, border, .. } =
            &self.data.input;
        // timm squashes the whole image, or crops this share of the shorter side.
        let (mode, share) = match resize {
            Resize::Triangle => ("squash", 1.0),
            Resize::ShorterSide { pixels } => {
                ("center", (height - 2 * border) as f64 / *pixels as f64)
            }
        };
        let config = json!({
            "architecture": architecture,
            "model_args": { "in_chans": channels },
            "pretrained_cfg": {
                "input_size": [channels, height, width],
                "interpolation": "bilinear",
                "crop_mode": mode,
                "crop_pct": share,
                "mean": mean,
                "std": deviation,
                "first_conv": names(0),
                "classifier": names(layers.len() - 1),
            },
            "timm_layers": layers
                .iter()
                .map(|layer| (layer.theirs.clone(), layer.ours.clone().into()))
                .collect::<Map<_, Value>>(),
        });
        let Value::Object(config) = config else { unreachable!("a map") };
        Ok(config)
    }
}
