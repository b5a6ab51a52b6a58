//! Classifiers from files: whole networks, segments, and malformed files.

mod common;

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma};
use proptest::prelude::*;
use sd_infer::{Classifier, Engine, Options, Rule};
use sd_onnx::proto::{GraphProto, ModelProto};
use sd_onnx::{Exit, Graph, Metadata, Value, encode, int, ints};

/// A network of two exits on images of one grey pixel x, in -1..1: exit1's logits are (x, −x), the
/// deepest's (−10 x, 10 x).
fn metadata() -> Metadata {
    let exit = |name: &str, macs, threshold| Exit {
        name: name.to_owned(),
        params: 1,
        macs,
        temperature: 1.0,
        threshold,
    };
    let exits = vec![exit("exit1", 10, Some(0.8)), exit("deepest", 40, None)];
    Metadata { segment: Some(0), ..common::metadata(1, ["light", "dark"], exits) }
}

fn classifier(graph: &mut Graph, map: &Value, scale: f32, name: &str) {
    let weight = graph.weight("weight", &[2, 1, 1, 1], &[scale, -scale]);
    let window = vec![ints("kernel_shape", &[1, 1]), int("group", 1)];
    let logits = graph.node("Conv", &[map, &weight], window);
    let rows = graph.node("Flatten", &[&logits], vec![int("axis", 1)]);
    graph.output(&rows, name, &[2]);
}

fn segments() -> [GraphProto; 2] {
    let mut first = Graph::new("exit1");
    let images = first.input("images", &[1, 1, 1]);
    classifier(&mut first, &images, 1.0, "exit1");
    let one = first.weight("one", &[1, 1, 1, 1], &[1.0]);
    let map = first.node("Conv", &[&images, &one], vec![ints("kernel_shape", &[1, 1])]);
    first.output(&map, "map1", &[1, 1, 1]);
    let mut second = Graph::new("deepest");
    let map = second.input("map1", &[1, 1, 1]);
    classifier(&mut second, &map, -10.0, "deepest");
    [first.finish(), second.finish()]
}

fn files() -> Vec<Vec<u8>> {
    let encoded =
        |(segment, graph)| encode(graph, &Metadata { segment: Some(segment), ..metadata() });
    segments().into_iter().enumerate().map(encoded).collect()
}

fn whole() -> Vec<u8> {
    let exits = vec![metadata().exits.swap_remove(1)];
    let [_, mut graph] = segments();
    graph.input[0].name = "images".to_owned();
    graph.node[0].input[0] = "images".to_owned();
    encode(graph, &Metadata { segment: None, exits, ..metadata() })
}

fn open(files: Vec<Vec<u8>>, rule: Rule) -> sd_infer::Result<Classifier> {
    Classifier::load(files, Path::new("m.onnx"), Options { rule, ..Options::default() })
}

fn pixels(bytes: &[u8]) -> Vec<DynamicImage> {
    bytes.iter().map(|&byte| GrayImage::from_pixel(1, 1, Luma([byte])).into()).collect()
}

#[test]
fn a_whole_network_classifies() {
    let mut classifier = open(vec![whole()], Rule::default()).unwrap();
    let found = classifier.classify(&pixels(&[0])[0]).unwrap();
    assert_eq!((&*found.exit, found.share), ("deepest", 1.0));
    assert_eq!((found.labels[0].class, &*found.labels[0].name), (0, "light"));
    // σ(20) of −10 · −1 against 10 · −1.
    assert!(found.labels[0].probability > 0.999);
    assert!(classifier.classify_batch(&[]).unwrap().is_empty());
}

/// Exits at which images of these pixels stop, in one batch and one by one.
fn exits(rule: Rule, bytes: &[u8]) -> Vec<String> {
    let mut classifier = open(files(), rule).unwrap();
    let together = classifier.classify_batch(&pixels(bytes)).unwrap();
    let apart = pixels(bytes);
    let apart = apart.iter().map(|image| classifier.classify(image).unwrap());
    assert_eq!(together, apart.collect::<Vec<_>>());
    together.into_iter().map(|found| found.exit).collect()
}

#[test]
fn images_stop_where_the_rule_says_and_the_rest_continue_as_a_batch() {
    // x is −1, 0.004, 1 and 0.2; exit1's largest probabilities are 0.88, 0.5, 0.88 and 0.6.
    let bytes = [0, 128, 255, 153];
    let (early, late) = ("exit1", "deepest");
    for (rule, expected) in [
        (Rule::Confidence(None), [early, late, early, late]),
        (Rule::Confidence(Some(0.55)), [early, late, early, early]),
        (Rule::Entropy(0.9), [early, late, early, late]),
        (Rule::Patience(1), [late; 4]),
        (Rule::Never, [late; 4]),
        (Rule::Confidence(Some(0.0)), [early; 4]),
    ] {
        assert_eq!(exits(rule, &bytes), expected, "{rule:?}");
    }
}

#[test]
fn an_early_exit_has_its_own_prediction_and_cost() {
    let mut classifier = open(files(), Rule::default()).unwrap();
    let found = classifier.classify_batch(&pixels(&[255, 153])).unwrap();
    // exit1 classifies light pixels as light, the deepest as dark.
    assert_eq!((&*found[0].labels[0].name, found[0].share), ("light", 0.25));
    assert_eq!((&*found[1].labels[0].name, found[1].share), ("dark", 1.0));
}

#[test]
fn segments_load_in_any_order_if_they_form_one_network() {
    let [first, second] = <[Vec<u8>; 2]>::try_from(files()).unwrap();
    assert!(open(vec![second.clone(), first.clone()], Rule::default()).is_ok());
    let message = |files| open(files, Rule::default()).unwrap_err().to_string();
    let missing = message(vec![first.clone()]);
    assert_eq!(missing, "m.onnx: found segments 1, expected segments 1 to 2 of a network");
    let [_, graph] = segments();
    let metadata = Metadata { segment: Some(1), version: "1".to_owned(), ..metadata() };
    let other = message(vec![first, encode(graph, &metadata)]);
    assert!(other.contains("segments that differ"), "{other}");
    assert!(message(vec![]).contains("no .onnx file"));
}

#[test]
fn a_graph_that_contradicts_its_metadata_is_an_error() {
    let classes = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let [_, graph] = segments();
    let exits = vec![metadata().exits.swap_remove(1)];
    let bytes = encode(graph, &Metadata { segment: None, exits, classes, ..metadata() });
    let mut classifier = open(vec![bytes], Rule::default()).unwrap();
    let error = classifier.classify(&pixels(&[0])[0]).unwrap_err().to_string();
    assert_eq!(error, "the network's output 0 has shape [1, 2], expected [1, 3]");
}

#[test]
fn weights_that_are_not_finite_give_no_answer() {
    for engine in [Engine::Native, Engine::Rten] {
        let mut graph = Graph::new("deepest");
        let images = graph.input("images", &[1, 1, 1]);
        classifier(&mut graph, &images, f32::NAN, "deepest");
        let exits = vec![metadata().exits.swap_remove(1)];
        let bytes = encode(graph.finish(), &Metadata { segment: None, exits, ..metadata() });
        let options = Options { engine: Some(engine), ..Options::default() };
        let mut network = Classifier::load(vec![bytes], Path::new("m"), options).unwrap();
        let error = network.classify(&pixels(&[7])[0]).unwrap_err().to_string();
        assert!(error.starts_with("the network's output 0 is not finite"), "{engine:?}: {error}");
    }
}

#[test]
fn probabilities_and_rules_are_those_at_the_temperature() {
    let mut hotter = metadata();
    hotter.exits[0].temperature = 4.0;
    let encoded =
        |(segment, graph)| encode(graph, &Metadata { segment: Some(segment), ..hotter.clone() });
    let files: Vec<_> = segments().into_iter().enumerate().map(encoded).collect();
    // exit1's logits are (1, −1): σ(2) is above its threshold 0.8, σ(2 / 4) is below.
    let white = &pixels(&[255])[0];
    let mut classifier = open(files.clone(), Rule::default()).unwrap();
    assert_eq!(classifier.classify(white).unwrap().exit, "deepest");
    let mut classifier = open(files, Rule::Confidence(Some(0.6))).unwrap();
    let found = classifier.classify(white).unwrap();
    let expected = 1.0 / (1.0 + (-0.5_f32).exp());
    assert_eq!((&*found.exit, &*found.labels[0].name), ("exit1", "light"));
    assert!((found.labels[0].probability - expected).abs() < 1e-6, "{found:?}");
}

#[test]
fn a_share_of_the_logits_is_carried_to_the_next_exit() {
    let encoded = |(segment, graph)| {
        encode(graph, &Metadata { segment: Some(segment), carry: 0.5, ..metadata() })
    };
    let files = segments().into_iter().enumerate().map(encoded).collect();
    let mut classifier = open(files, Rule::Never).unwrap();
    let image = &pixels(&[200])[0];
    let x = 200.0 / 255.0 * 2.0 - 1.0_f32;
    // (x, −x) carried into (−10 x, 10 x).
    let dark = 1.0 / (1.0 + (-19.0 * x).exp());
    let best = classifier.classify(image).unwrap().labels.swap_remove(0);
    assert_eq!(best.name, "dark");
    assert!((best.probability - dark).abs() < 1e-5, "{} {dark}", best.probability);
}

#[test]
fn options_out_of_range_and_missing_files_are_named() {
    let error =
        |options| Classifier::load(vec![whole()], Path::new("m"), options).unwrap_err().to_string();
    for threads in [0, 100_000] {
        let message = error(Options { threads, ..Options::default() });
        assert_eq!(message, format!("threads is {threads}, expected 1 to 1024"));
    }
    assert_eq!(error(Options { top: 0, ..Options::default() }), "top is 0, expected at least 1");
    let error = Classifier::open("nowhere.onnx").unwrap_err().to_string();
    assert!(error.starts_with("nowhere.onnx: "), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_folder_of_a_staged_network_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.onnx"), whole()).unwrap();
    let pipe = folder.path().join("2.onnx");
    let status = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(status.success());
    let error = Classifier::open(folder.path()).unwrap_err().to_string();
    assert_eq!(error, format!("{}: not a regular file", pipe.display()));
}

/// All engines of this build; ONNX Runtime needs its library.
#[test]
fn the_engines_agree() {
    let mut engines = vec![Engine::Rten, Engine::Native];
    if cfg!(feature = "ort") && std::env::var_os("ORT_DYLIB_PATH").is_some() {
        engines.push(Engine::Ort);
    }
    let images = pixels(&[0, 20, 200]);
    let labels = |engine| {
        let options = Options { engine: Some(engine), ..Options::default() };
        let mut staged = Classifier::load(files(), &PathBuf::new(), options).unwrap();
        let found = staged.classify_batch(&images).unwrap().into_iter().map(|found| {
            (found.exit, found.labels[0].class, (1e4 * found.labels[0].probability).round())
        });
        found.collect::<Vec<_>>()
    };
    for engine in &engines {
        assert_eq!(labels(*engine), labels(engines[0]), "{engine:?}");
    }
}

#[test]
fn rten_runs_what_the_native_engine_does_not_support() {
    assert_eq!(open(files(), Rule::Never).unwrap().engine(), Engine::Native);
    let mut graph = Graph::new("deepest");
    let images = graph.input("images", &[1, 1, 1]);
    let zero = graph.weight("zero", &[1], &[0.0]);
    let same = graph.node("Add", &[&images, &zero], vec![]);
    classifier(&mut graph, &same, -10.0, "deepest");
    let exits = vec![metadata().exits.swap_remove(1)];
    let bytes = encode(graph.finish(), &Metadata { segment: None, exits, ..metadata() });
    let mut other = open(vec![bytes], Rule::Never).unwrap();
    assert_eq!(other.engine(), Engine::Rten);
    assert_eq!(other.classify(&pixels(&[255])[0]).unwrap().labels[0].name, "dark");
}

#[test]
fn a_batch_that_takes_longer_than_the_time_limit_is_an_error() {
    for engine in [Engine::Native, Engine::Rten] {
        let time_limit = Some(std::time::Duration::ZERO);
        let options = Options { engine: Some(engine), time_limit, ..Options::default() };
        let mut network = Classifier::load(vec![whole()], Path::new("m.onnx"), options).unwrap();
        let error = network.classify(&pixels(&[0])[0]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: the deadline passed", engine.name())), "{error}");
    }
}

/// The segments share the memory; rten runs as many images at once as fit.
#[test]
fn memory_bounds_all_segments_and_a_batch() {
    let images = pixels(&[0, 20, 200, 255]);
    let classes = |engine, max_memory| {
        let options = Options { engine: Some(engine), max_memory, ..Options::default() };
        let mut network = Classifier::load(files(), Path::new("m.onnx"), options)?;
        let found = network.classify_batch(&images)?.into_iter();
        Ok(found.map(|found| (found.exit, found.labels[0].class)).collect::<Vec<_>>())
    };
    for engine in [Engine::Native, Engine::Rten] {
        let all = classes(engine, 1 << 29).unwrap();
        // Tiles of the working memory are counted for any convolution.
        let (mut enough, mut step) = (1 << 20, 1 << 19);
        while step > 0 {
            if classes(engine, enough - step).is_ok() {
                enough -= step;
            }
            step /= 2;
        }
        assert_eq!(classes(engine, enough).unwrap(), all, "{enough}");
        let error: sd_infer::Error = classes(engine, enough - 1).unwrap_err();
        assert!(error.to_string().ends_with("(max_memory)"), "{error}");
    }
}

/// With more images than a pass takes, and unequal numbers per thread.
#[test]
fn threads_share_the_images_of_a_batch() {
    let shades: Vec<u8> = (0..21).map(|image| image * 12).collect();
    let images = pixels(&shades);
    for engine in [Engine::Native, Engine::Rten] {
        let options = Options { engine: Some(engine), threads: 2, ..Options::default() };
        let mut staged = Classifier::load(files(), &PathBuf::new(), options).unwrap();
        let together = staged.classify_batch(&images).unwrap();
        let alone: Vec<_> = images.iter().map(|image| staged.classify(image).unwrap()).collect();
        assert_eq!(together, alone, "{engine:?}");
    }
}

/// rten would allocate these 2⁴⁹ bytes and abort.
#[test]
fn a_length_beyond_the_end_of_the_file_is_an_error() {
    use prost::Message;
    let mut model = ModelProto::decode(&*whole()).unwrap();
    model.graph.as_mut().unwrap().input[0].name = "a long enough name".to_owned();
    let mut bytes = model.encode_to_vec();
    let at = bytes.windows(6).position(|text| text == b"a long").unwrap();
    bytes[at - 1..at + 6].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    let error = open(vec![bytes], Rule::default()).unwrap_err().to_string();
    assert!(error.starts_with("m.onnx: not an ONNX file"), "{error}");
}

/// Opens and runs the bytes, ignoring errors.
fn try_run(bytes: Vec<u8>) {
    if let Ok(mut classifier) = open(vec![bytes], Rule::default()) {
        let _ = classifier.classify_batch(&pixels(&[0, 255]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        try_run(bytes);
    }

    #[test]
    fn no_damaged_file_panics(changes: Vec<(prop::sample::Index, u8)>, cut: prop::sample::Index) {
        let mut bytes = whole();
        for (at, byte) in changes.into_iter().take(4) {
            *at.get_mut(&mut bytes) = byte;
        }
        try_run(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        try_run(bytes);
    }

    /// Well-formed but contradictory shapes and attributes.
    #[test]
    fn no_nonsense_graph_panics(
        dims in prop::collection::vec(-2i64..5, 0..6),
        kernel in prop::collection::vec(-2i64..5, 0..4),
        group in -1i64..4,
        axis in -6i64..6,
    ) {
        use prost::Message;
        let mut model = ModelProto::decode(&*whole()).unwrap();
        let graph = model.graph.as_mut().unwrap();
        graph.initializer[0].dims = dims;
        graph.node[0].attribute = vec![ints("kernel_shape", &kernel), int("group", group)];
        graph.node[1].attribute = vec![int("axis", axis)];
        try_run(model.encode_to_vec());
    }
}
