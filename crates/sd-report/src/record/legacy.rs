//! Records of runs that were made before `summary.json` described model and objective as data.

use toml::{Table, Value};

use super::RunRecord;
use super::model::{Choice, ModelSummary, number};
use super::objective::{MixingSummary, ObjectiveSummary};
use crate::configuration::Settings;

/// The objectives of that time whose shallow exits learn from deeper ones.
const DISTILLING: [&str; 4] = ["self_distillation", "byot", "scan", "tpami"];

/// Fills in the descriptions that the record lacks from the run's configuration. The names of the
/// objective and the mixing are those in the record's own text, such as `deepest only, mixup 0.2`.
pub(crate) fn complete(record: &mut RunRecord, settings: &Settings) {
    if record.model_summary.is_none() {
        let model = settings.at(&["model"]).and_then(Value::as_table);
        record.model_summary = model.and_then(ModelSummary::from_config_names);
    }
    if record.objective_summary.is_none() {
        record.objective_summary = objective(&record.objective, settings);
    }
}

impl ModelSummary {
    /// Reads the `model` section of a configuration as [`from_config`](Self::from_config), and what the
    /// names of its variants mean.
    pub fn from_config_names(model: &Table) -> Option<Self> {
        let mut summary = Self::from_config(model)?;
        let named = |choices: &[Choice], name: &str| choices.iter().all(|all| all.name == name);
        let backbone = &mut summary.backbone;
        backbone.is_dense = !backbone.convolutions.is_empty()
            && named(&backbone.convolutions, "dense")
            && backbone.output_stride.is_none();
        if named(&backbone.attentions, "none") {
            backbone.attentions.clear();
        }
        if let Some(exits) = &mut summary.exits {
            exits.is_byot = exits.kind.name == "byot";
        }
        Some(summary)
    }
}

fn objective(text: &str, settings: &Settings) -> Option<ObjectiveSummary> {
    let section = settings.at(&["objective"])?.as_table()?;
    let (name, mixing) = text.split_once(", ").unwrap_or((text, ""));
    let distils = section.keys().any(|key| DISTILLING.contains(&key.as_str()));
    let objective = ObjectiveSummary::from_config(name, distils, section);
    let mix = settings.at(&["mix"]).and_then(Choice::from_value);
    let mixing = mix.and_then(|mix| {
        let (name, _) = mixing.rsplit_once(' ')?;
        Some(MixingSummary { name: name.to_owned(), alpha: number(mix.values.get("alpha")?)? })
    });
    Some(ObjectiveSummary { mixing, ..objective })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use crate::record::{Cost, EnsembleScore, SCHEMA_VERSION, Status, Teacher};

    fn record(objective: &str) -> RunRecord {
        let cost = Cost { params: 1, macs: 1 };
        RunRecord {
            schema_version: SCHEMA_VERSION,
            status: Status::Finished,
            name: String::new(),
            model: String::new(),
            model_summary: None,
            dataset: String::new(),
            objective: objective.to_owned(),
            objective_summary: None,
            seed: 0,
            epochs: 1,
            steps: 1,
            stopped_early: false,
            exits: Vec::new(),
            ensemble: EnsembleScore::default(),
            deployed: cost,
            framework: cost,
            dense_original: None,
            best: None,
            images_per_second: 1.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn an_old_record_is_completed_from_the_configuration() {
        let config: Configuration = "
            model.backbone.vgg = { depth = 11, head = 'linear', conv = ['dense', 'depthwise_separable'] }
            model.exits = { after = [3], kind = { light = { attention = { eca = {} }, side = 4 } } }
            objective.self_distillation = { alpha = 0.3, teacher = 'mean' }
            mix.mixup.alpha = 1
        "
        .parse()
        .unwrap();
        let mut record = record("self-distillation, mixup 1");
        complete(&mut record, config.settings());
        let ModelSummary { backbone, exits } = record.model_summary.as_ref().unwrap();
        assert_eq!((backbone.depth, backbone.width, backbone.is_dense), (Some(11), 1.0, false));
        let names = backbone.convolutions.iter().map(|choice| choice.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["dense", "depthwise_separable"]);
        let exits = exits.as_ref().unwrap();
        assert_eq!(exits.kind.to_string(), "light (side = 4)");
        assert_eq!((&exits.after[..], exits.is_byot), (&[3][..], false));
        let objective = record.objective_summary.as_ref().unwrap();
        assert!(objective.distils && objective.teacher == Some(Teacher::Mean));
        assert_eq!(objective.name, "self-distillation");
        let mixing = MixingSummary { name: "mixup".to_owned(), alpha: 1.0 };
        assert_eq!(objective.mixing, Some(mixing));

        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<RunRecord>(&text).unwrap(), record);
    }

    #[test]
    fn a_description_in_the_record_is_kept() {
        let config: Configuration = "model.backbone.vgg.depth = 11".parse().unwrap();
        let other: toml::Table = "backbone.resnet.depth = 18".parse().unwrap();
        let mut record = record("deepest only");
        record.model_summary = ModelSummary::from_config(&other);
        let before = record.clone();
        complete(&mut record, config.settings());
        assert_eq!(record, before);
    }
}
