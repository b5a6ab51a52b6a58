//! State dicts of torchvision and timm: the same logits from the same weights
//! (`scripts/golden/state_dicts.py`), export and import again, and refusals.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use sd_layers::{AttentionConfig, ConvConfig, FeatureShape, Precision, SimAmConfig, channels_last};
use sd_models::{
    BackboneConfig, Library, MobilenetV2Config, ModelConfig, MultiExit, PerStage, ResnetConfig,
    Stem, Task, TensorFile, VggConfig, VggHead, variables,
};
use sd_weights::{Dtype, TensorView};
use tch::nn::ModuleT;
use tch::{Device, Kind, Tensor, nn};

const CLASSES: i64 = 10;

/// The largest difference between logits in `f32` and PyTorch's in `f64`.
const TOLERANCE: f64 = 1e-4;

fn resnet(depth: u32, stem: Stem) -> BackboneConfig {
    BackboneConfig::Resnet(ResnetConfig {
        depth,
        stem,
        output_stride: None,
        width: 1.0,
        conv: PerStage::All(ConvConfig::Dense),
        attention: PerStage::All(AttentionConfig::None),
    })
}

fn vgg11(width: f64, head: VggHead) -> VggConfig {
    VggConfig {
        depth: 11,
        head,
        width,
        output_stride: None,
        conv: PerStage::All(ConvConfig::Dense),
        attention: PerStage::All(AttentionConfig::None),
    }
}

fn mobilenet(stem: Stem) -> BackboneConfig {
    BackboneConfig::MobilenetV2(MobilenetV2Config { stem, width: 0.35 })
}

fn built(backbone: &BackboneConfig, side: i64) -> (nn::VarStore, MultiExit) {
    let vs = nn::VarStore::new(Device::Cpu);
    let config = ModelConfig { backbone: backbone.clone(), exits: None };
    let task = Task { input: FeatureShape::new(3, side, side), classes: CLASSES };
    let network = MultiExit::build(&vs.root(), &config, task, Precision::F32).unwrap();
    (vs, network)
}

/// `uniform` of the script.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (0..count as u64).map(move |index| {
        let x = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        ((x ^ (x >> 32)) >> 40) as f64 / f64::from(1 << 24)
    })
}

/// `filled` of the script.
fn filled(name: &str, shape: &[i64]) -> Tensor {
    let (low, high) = match name {
        "input" => (-1.0, 1.0),
        _ if name.ends_with("running_mean") => (-0.5, 0.5),
        _ if name.ends_with("running_var") => (0.5, 2.0),
        _ if shape.len() == 1 && name.ends_with("weight") => (0.5, 1.5),
        _ if shape.len() == 1 => (-0.5, 0.5),
        _ => {
            let gain = if shape.len() == 4 { 4.0 } else { 3.0 };
            let bound = (gain / shape[1..].iter().product::<i64>() as f64).sqrt();
            (-bound, bound)
        }
    };
    let count = shape.iter().product::<i64>() as usize;
    let numbers: Vec<f32> =
        uniform(name, count).map(|share| (low + (high - low) * share) as f32).collect();
    Tensor::from_slice(&numbers).view(shape)
}

/// `images` of the script.
fn images(count: i64, side: i64) -> Tensor {
    filled("input", &[count, 3, 8, 8]).upsample_nearest2d([side, side], None, None)
}

/// The library's state dict of this network, filled by name. Names and shapes are those of our export;
/// the script loads its own strictly, with the library's names.
fn state_dict(library: Library, backbone: &BackboneConfig, vs: &nn::VarStore) -> TensorFile {
    let mut file = library.export(backbone, &variables(vs)).unwrap();
    for (name, tensor) in &mut file.tensors {
        if tensor.dim() > 0 {
            *tensor = filled(name, &tensor.size());
        }
    }
    file
}

/// The network with the case's weights, for images of this side.
fn imported(library: Library, backbone: &BackboneConfig, side: i64) -> MultiExit {
    let (vs, network) = built(backbone, side);
    let path = Path::new("a.safetensors");
    let file = library.import(backbone, state_dict(library, backbone, &vs), path).unwrap();
    file.copy_into(&variables(&vs), path).unwrap();
    network
}

/// Compares `found` with PyTorch's result, `NAME/logits_MODE` of the script.
fn agrees(golden: &TensorFile, part: &str, found: &Tensor) {
    let difference = (found - &golden.tensors[part]).abs().max().double_value(&[]);
    // NaN fails as well.
    assert!(difference <= TOLERANCE, "{part} differ by {difference:e}");
}

fn golden() -> TensorFile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    TensorFile::read(&folder.join("state_dicts.safetensors")).unwrap()
}

/// In both memory layouts of the images.
fn agrees_with_library(library: Library, name: &str, backbone: &BackboneConfig, side: i64) {
    let (golden, network) = (golden(), imported(library, backbone, side));
    let part = format!("{name}/logits_eval");
    for images in [images(2, side), channels_last(&images(2, side))] {
        agrees(&golden, &part, &tch::no_grad(|| network.forward_t(&images, false)));
    }
}

#[test]
fn a_resnet_has_the_logits_of_both_libraries() {
    let large = resnet(18, Stem::Large);
    agrees_with_library(Library::Torchvision, "torchvision/resnet18", &large, 224);
    agrees_with_library(Library::Timm, "timm/resnet18", &large, 96);
    let bottlenecks = resnet(50, Stem::Large);
    agrees_with_library(Library::Torchvision, "torchvision/resnet50", &bottlenecks, 64);
}

#[test]
fn a_vgg_has_the_logits_of_torchvision() {
    let vgg = BackboneConfig::Vgg(vgg11(1.0, VggHead::Classic7x7));
    agrees_with_library(Library::Torchvision, "torchvision/vgg11_bn", &vgg, 224);
}

#[test]
fn a_vgg_has_the_logits_of_timm() {
    let vgg = BackboneConfig::Vgg(vgg11(1.0, VggHead::Classic7x7));
    agrees_with_library(Library::Timm, "timm/vgg11_bn", &vgg, 224);
}

#[test]
fn a_mobilenet_has_the_logits_of_both_libraries_also_while_training() {
    agrees_with_library(Library::Timm, "timm/mobilenetv2_035", &mobilenet(Stem::Large), 64);

    let network = imported(Library::Torchvision, &mobilenet(Stem::Small), 32);
    let images = channels_last(&images(4, 32));
    for (mode, train) in [("eval", false), ("train", true), ("afterwards", false)] {
        let part = format!("torchvision/mobilenet_v2/logits_{mode}");
        agrees(&golden(), &part, &network.forward_t(&images, train));
    }
}

#[test]
fn export_and_import_restore_every_bit() {
    let quarter = |head| BackboneConfig::Vgg(vgg11(0.25, head));
    let networks = [
        (Library::Torchvision, resnet(18, Stem::Small)),
        (Library::Torchvision, quarter(VggHead::Linear)),
        (Library::Torchvision, quarter(VggHead::Classic)),
        (Library::Torchvision, quarter(VggHead::Classic7x7)),
        (Library::Timm, quarter(VggHead::Classic7x7)),
        (Library::Torchvision, mobilenet(Stem::Small)),
        (Library::Timm, mobilenet(Stem::Small)),
    ];
    for (library, backbone) in networks {
        let (vs, _) = built(&backbone, 32);
        let ours = variables(&vs);
        let path = Path::new("a.safetensors");
        let exported = library.export(&backbone, &ours).unwrap();
        let back = library.import(&backbone, exported, path).unwrap();
        assert_eq!(back.tensors, ours, "{library:?} {}", backbone.get().describe());
    }
}

#[test]
fn missing_unexpected_and_misshapen_tensors_are_named() {
    let backbone = BackboneConfig::Vgg(vgg11(0.25, VggHead::Classic7x7));
    let (vs, _) = built(&backbone, 32);
    let path = Path::new("theirs.safetensors");
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let exported = Library::Torchvision.export(&backbone, &variables(&vs)).unwrap();
        let mut file = TensorFile { tensors: exported.tensors, metadata: HashMap::new() };
        change(&mut file.tensors);
        let imported = Library::Torchvision.import(&backbone, file, path);
        let error = imported.and_then(|file| file.copy_into(&variables(&vs), path)).unwrap_err();
        error.to_string()
    };
    let error = refused(&|tensors| {
        tensors.remove("features.4.weight");
        let unexpected = tensors["classifier.6.bias"].shallow_clone();
        tensors.insert("classifier.9.bias".to_owned(), unexpected.shallow_clone());
        tensors.insert("extra".to_owned(), unexpected);
        let misshapen = tensors["classifier.0.weight"].narrow(1, 0, 128);
        tensors.insert("classifier.0.weight".to_owned(), misshapen);
    });
    for part in [
        "theirs.safetensors",
        "backbone.stage2.0.conv.weight is missing",
        "no head.classifier.9.bias",
        "no extra",
        "head.hidden1.weight is Float [1024, 128], expected Float [1024, 6272]",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = refused(&|tensors| drop(tensors.remove("features.0.bias")));
    assert!(error.ends_with("features.0.bias is missing"), "{error}");
    let error = refused(&|tensors| {
        let short = tensors["features.0.bias"].narrow(0, 0, 1);
        tensors.insert("features.0.bias".to_owned(), short);
    });
    assert!(error.contains("features.0.bias is Float [1], expected [16]"), "{error}");
}

#[test]
fn a_network_that_a_library_does_not_have_is_refused() {
    let message = |library: Library, backbone: BackboneConfig| {
        library.check(&backbone).map_err(|error| error.to_string())
    };
    let classic = vgg11(1.0, VggHead::Classic);
    let backbone = BackboneConfig::Vgg(classic.clone());
    assert_eq!(message(Library::Torchvision, backbone.clone()), Ok(()));
    let expected = "timm has no vgg11 dense: expected the head `classic7x7`";
    assert_eq!(message(Library::Timm, backbone), Err(expected.to_owned()));

    // Neither changes a tensor's name or shape.
    let with_attention = VggConfig {
        attention: PerStage::All(AttentionConfig::Simam(SimAmConfig::default())),
        ..classic.clone()
    };
    let separable = PerStage::All(ConvConfig::DepthwiseSeparable);
    for config in [with_attention, VggConfig { conv: separable, ..classic }] {
        let error = message(Library::Torchvision, BackboneConfig::Vgg(config)).unwrap_err();
        assert!(error.ends_with("expected dense convolutions and no attention"), "{error}");
    }
}

/// The bytes of a safetensors file of one tensor.
fn file_of(name: &str, kind: Kind, values: &Tensor) -> Vec<u8> {
    let dtype = match kind {
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Double => Dtype::F64,
        _ => Dtype::F32,
    };
    let values = values.to_kind(kind);
    let mut bytes = vec![0; values.numel() * kind.elt_size_in_bytes()];
    values.copy_data_u8(&mut bytes, values.numel());
    let shape = values.size().iter().map(|&side| side as usize).collect();
    let view = TensorView::new(dtype, shape, &bytes).unwrap();
    sd_weights::serialize(vec![(name, view)], HashMap::new()).unwrap()
}

#[test]
fn other_number_formats_and_the_prefixes_of_wrappers_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.safetensors");
    let values = Tensor::from_slice(&[0.5f32, -1.25, 3.0]);
    for (kind, name, prefix) in [
        (Kind::Half, "module.fc.bias", "module."),
        (Kind::BFloat16, "_orig_mod.module.fc.bias", "_orig_mod.module."),
        (Kind::Double, "model.fc.bias", "model."),
        (Kind::Float, "fc.bias", ""),
    ] {
        std::fs::write(&path, file_of(name, kind, &values)).unwrap();
        let (found, removed) = TensorFile::read_state_dict(&path).unwrap();
        assert_eq!((found.tensors["fc.bias"].kind(), &*removed), (Kind::Float, prefix));
        assert_eq!(found.tensors["fc.bias"], values);
        assert_eq!(TensorFile::read(&path).is_ok(), kind == Kind::Float, "a run has F32 alone");
    }
    for start in [&b"PK\x03\x04\0\0\x08\x08"[..], b"\x80\x02\x8a\x0al\xfc\x9cF"] {
        std::fs::write(&path, [start, &[0; 64]].concat()).unwrap();
        let error = TensorFile::read_state_dict(&path).unwrap_err().to_string();
        assert!(error.contains("pickle of PyTorch") && error.contains("save_file"), "{error}");
    }
}

#[test]
fn values_that_no_network_can_have_are_named() {
    let check = |name: &str, values: &[f32]| {
        let tensors = BTreeMap::from([(name.to_owned(), Tensor::from_slice(values))]);
        let file = TensorFile { tensors, metadata: HashMap::new() };
        file.check_values(Path::new("file")).err().map_or(String::new(), |error| error.to_string())
    };
    assert_eq!(check("fc.bias", &[-1.0, 2.0]), "");
    assert_eq!(
        check("fc.bias", &[1.0, f32::NAN]),
        "file: fc.bias has NaN or infinite values, expected finite ones"
    );
    assert!(check("fc.bias", &[f32::INFINITY]).contains("infinite"));
    assert_eq!(check("norm.running_var", &[0.0]), "");
    assert!(
        check("norm.running_var", &[1.0, -0.1]).contains("norm.running_var has negative values")
    );
    assert_eq!(check("norm.running_mean", &[-0.1]), "");
}
