//! The small experiment that tests train, and changes of it.

use sd_train::experiment::Experiment;

/// Made images, a narrow network with two exits, three epochs.
const TINY: &str = r#"
name = "tiny"
seed = 3

[data]
dataset = { synthetic = { classes = 4, train = 96, test = 32, channels = 1, height = 32, width = 32, seed = 0 } }

[model.backbone.vgg]
depth = 11
head = "linear"
width = 0.125
conv = { grouped = { groups = 8 } }
attention = "none"

[model.exits]
after = [2, 4]
kind = { light = { attention = { eca = {} } } }

[objective.self_distillation]
alpha = 0.3
temperature = 3.0
lambda = 0.03
teacher = "deepest"
label_smoothing = 0.0

[train]
epochs = 3
batch_size = 16
precision = "f32"
sgd = { momentum = 0.9, nesterov = true, weight_decay = 5e-4 }
schedule = { one_cycle = { peak = 0.05, warmup = 0.3 } }
"#;

/// The experiment with these changes, each `KEY=VALUE` as on the command line.
pub fn tiny<S: AsRef<str>>(changes: &[S]) -> anyhow::Result<Experiment> {
    let changes: Vec<String> = changes.iter().map(|change| change.as_ref().to_owned()).collect();
    Experiment::parse(TINY, &changes)
}
