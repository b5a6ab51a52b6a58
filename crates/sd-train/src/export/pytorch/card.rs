//! The model card, `README.md`, of a folder for PyTorch, with the metadata that the Hub reads.

use anyhow::Result;
use sd_data::DatasetConfig;
use sd_report::format::number::{count, percent_or_none};
use serde_json::{Value, json};

use super::Source;

/// The part for Python, the same for every network.
const USE: &str = r#"
## Use

```python
from modeling import MultiExit          # this folder's; needs torch and safetensors

network = MultiExit.from_folder(".")
images = network.prepare(pixels)        # bytes [N, C, H, W], resized and normalised as in training
logits = network(images)                # {"exit1": [N, K], …, "deepest": [N, K]}
classes = network.config["label_names"]
```
"#;

impl Source<'_> {
    pub(super) fn card(&self) -> Result<String> {
        let experiment = self.experiment;
        let data_set = &experiment.data.dataset;
        let hub = match data_set {
            DatasetConfig::Cifar10 => Some("uoft-cs/cifar10"),
            DatasetConfig::Cifar100 => Some("uoft-cs/cifar100"),
            _ => None,
        };
        let timm = self.timm_architecture();
        let exits = self.network.exit_names();
        let top1 = |exit: &str| {
            let found = self.evaluation?.exits.iter().find(|found| found.name == exit)?;
            Some(found.top1)
        };

        let mut metadata = vec![
            // The weights are the user's; the Hub knows this value.
            ("license", json!("unknown")),
            ("library_name", json!(if timm.is_some() { "timm" } else { "pytorch" })),
            ("pipeline_tag", json!("image-classification")),
            ("tags", json!(["image-classification", "selfdistill"])),
            ("metrics", json!(["accuracy"])),
        ];
        metadata.extend(hub.map(|hub| ("datasets", json!([hub]))));
        if let Some(evaluation) = self.evaluation {
            let metrics = exits.iter().filter_map(|exit| {
                let name = format!("top-1 accuracy, {exit}");
                Some(json!({ "type": "accuracy", "name": name, "value": top1(exit)? }))
            });
            let result = json!({
                "task": { "type": "image-classification" },
                "dataset": {
                    "name": data_set.get().name(),
                    "type": hub.unwrap_or("imagefolder"),
                    "split": evaluation.split,
                },
                "metrics": metrics.collect::<Vec<Value>>(),
            });
            let index = json!([{ "name": experiment.name, "results": [result] }]);
            metadata.push(("model-index", index));
        }
        // JSON values are YAML.
        let lines = metadata.iter().map(|(key, value)| format!("{key}: {value}\n"));
        let metadata: String = lines.collect();

        let mut rows = String::new();
        for (exit, cost) in exits.iter().zip(self.network.cost_of_exits()?) {
            let accuracy = percent_or_none(top1(exit));
            let (params, macs) = (count(cost.params), count(cost.macs));
            rows.push_str(&format!("| {exit} | {params} | {macs} | {accuracy} |\n"));
        }
        let split = self.evaluation.map_or(String::new(), |found| format!(" ({})", found.split));
        let input = &self.data.input;
        let shape = format!("{}×{}×{}", input.channels, input.height, input.width);
        let timm = timm.map_or(String::new(), |_| {
            "\nThe deepest exit alone, in timm, from the folder that holds this one:\n\n\
             ```python\n\
             network = timm.create_model(\"local-dir:FOLDER\", pretrained=True)\n```\n"
                .to_owned()
        });
        Ok(format!(
            "---\n{metadata}---\n\n\
             # {name}\n\n\
             {network} for images of {shape}, {classes} classes, trained with SelfDistill \
             {version}. Each exit is a classifier; the parameters and multiply-accumulates \
             are those of the network that ends there.\n\n\
             | exit | parameters | MACs | top-1{split} |\n| --- | --: | --: | --: |\n{rows}{USE}{timm}\n\
             `modeling.py` is under MIT or Apache-2.0; state the licence of the weights above.\n",
            name = experiment.name,
            network = experiment.model.describe(),
            classes = self.data.classes.len(),
            version = env!("CARGO_PKG_VERSION"),
        ))
    }
}
