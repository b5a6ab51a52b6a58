//! The gradient that exits give to the stages that they are on.

use std::collections::BTreeMap;

use sd_layers::{FeatureShape, Precision};
use sd_models::{ModelConfig, MultiExit, Task, variables};
use tch::{Device, Kind, Tensor, nn};

/// Numbers from −1 to 1 that look random. Parallel tests share libtorch's generator.
fn noise(size: &[i64]) -> Tensor {
    let index = Tensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    (index.square() * 0.7391).sin().to_kind(Kind::Float).view(size)
}

/// Gradients of a VGG11 with exits after stages 1 and 3, for the sum of the exits' losses, or for
/// the deepest exit's alone.
fn gradients(trunk_gradient: &str, deepest_alone: bool) -> BTreeMap<String, Tensor> {
    let config: ModelConfig = toml::from_str(&format!(
        r#"backbone.vgg = {{ depth = 11, head = "linear", width = 0.25, conv = "dense", attention = "none" }}
           exits = {{ after = [1, 3], kind = "byot", trunk_gradient = "{trunk_gradient}" }}"#
    ))
    .unwrap();
    let vs = nn::VarStore::new(Device::Cpu);
    let task = Task { input: FeatureShape::new(1, 32, 32), classes: 5 };
    let network = MultiExit::build(&vs.root(), &config, task, Precision::F32).unwrap();
    let _ = tch::no_grad(|| {
        for (name, mut value) in variables(&vs) {
            if value.dim() > 1 || name.ends_with("linear.bias") {
                value.copy_(&(noise(&value.size()) * 0.1));
            }
        }
    });
    let images = noise(&[8, 1, 32, 32]);
    let outputs = network.forward_exits(&images, true);
    let loss = |logits: &Tensor| logits.log_softmax(-1, Kind::Float).select(1, 0).mean(None);
    let exits = outputs.all().skip(if deepest_alone { 2 } else { 0 });
    exits.map(|exit| loss(&exit.logits)).sum::<Tensor>().backward();
    let learned = variables(&vs).into_iter().filter(|(_, value)| value.grad().defined());
    learned.map(|(name, value)| (name, value.grad())).collect()
}

fn agree(found: &Tensor, expected: &Tensor, name: &str) {
    let (difference, norm) = ((found - expected).norm(), expected.norm());
    let [difference, norm] = [difference, norm].map(|value| value.double_value(&[]));
    assert!(norm > 0.0 && difference <= 1e-4 * norm, "{name}: {difference} of {norm}");
}

#[test]
fn equilibrium_divides_a_stages_gradient_by_the_exits_on_it_and_after_it() {
    let sum = gradients("sum", false);
    for (name, gradient) in gradients("equilibrium", false) {
        let exits = match name.split('.').nth(1).unwrap() {
            _ if !name.starts_with("backbone") => 1.0,
            "stem" | "stage1" => 3.0,
            "stage2" | "stage3" => 2.0,
            _ => 1.0,
        };
        agree(&gradient, &(&sum[&name] / exits), &name);
    }
}

#[test]
fn a_detached_trunk_learns_from_the_deepest_exit_alone() {
    let alone = gradients("sum", true);
    let exits = gradients("sum", false);
    for (name, gradient) in gradients("detached", false) {
        let expected = if name.starts_with("exit") { &exits[&name] } else { &alone[&name] };
        agree(&gradient, expected, &name);
    }
}
