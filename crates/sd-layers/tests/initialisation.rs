//! Initial weights compared with torch.nn's layers of the same shape and seed
//! (`scripts/golden/initialisation.py`).

use std::collections::BTreeMap;

use sd_layers::{AttentionConfig, ConvGeometry, Convolution, EcaConfig, Linear, Window};
use serde::Deserialize;
use tch::{Device, Kind, Tensor, nn};

#[derive(Deserialize)]
struct Golden {
    seed: i64,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    name: String,
    bound: f64,
    variables: BTreeMap<String, Drawn>,
}

#[derive(Deserialize)]
struct Drawn {
    min: f64,
    max: f64,
    mean: f64,
    deviation: f64,
}

impl Drawn {
    fn of(variable: &Tensor) -> Self {
        let x = variable.to_kind(Kind::Double);
        let value = |tensor: Tensor| tensor.double_value(&[]);
        Self {
            min: value(x.min()),
            max: value(x.max()),
            mean: value(x.mean(None)),
            deviation: value(x.std(true)),
        }
    }
}

fn build(name: &str, vs: &nn::Path) {
    let conv = |inputs, outputs, groups| {
        let geometry = ConvGeometry { inputs, outputs, window: Window::same(3, 1) };
        Convolution::new(vs, geometry, groups).unwrap();
    };
    match name {
        "dense" => conv(64, 128, 1),
        "grouped" => conv(64, 128, 8),
        "depthwise" => conv(512, 512, 512),
        "eca" => {
            let config = AttentionConfig::Eca(EcaConfig { kernel: Some(5) });
            config.get().build(vs, 64).unwrap();
        }
        "linear" => {
            Linear::new(vs, 512, 4096);
        }
        other => panic!("no layer {other}"),
    }
}

#[test]
fn initial_weights_agree_with_pytorch() {
    let golden: Golden = serde_json::from_str(include_str!("golden/initialisation.json")).unwrap();
    for Layer { name, bound, variables } in golden.layers {
        let vs = nn::VarStore::new(Device::Cpu);
        tch::manual_seed(golden.seed);
        build(&name, &vs.root());
        let found = vs.variables();
        assert_eq!(found.len(), variables.len(), "{name}");
        for (variable, expected) in variables {
            let found = Drawn::of(&found[&variable]);
            assert!(found.min >= -bound && found.max <= bound, "{name}.{variable}: {bound}");
            let pairs = [
                ("min", found.min, expected.min),
                ("max", found.max, expected.max),
                ("mean", found.mean, expected.mean),
                ("deviation", found.deviation, expected.deviation),
            ];
            for (what, found, expected) in pairs {
                assert!(
                    (found - expected).abs() <= 1e-6 * bound,
                    "{name}.{variable}: {what} is {found}, expected {expected}"
                );
            }
        }
    }
}
