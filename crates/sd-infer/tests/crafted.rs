//! Small files that ask for much memory or work, classified by the command within 1 GB of address
//! space. docs/results/reliability has what they take; the bound here is only against endless work.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::metadata;
use image::GrayImage;
use sd_infer::{Classifier, Engine, Options};
use sd_onnx::proto::{ElementType, GraphProto, NodeProto, TensorProto};
use sd_onnx::{Exit, Graph, Value, encode, int, ints};

/// Bytes and seconds.
const MEMORY: u64 = 1_000_000_000;
const SECONDS: u64 = 60;

/// A file of a graph with two classes on grey images of this side.
fn file(graph: GraphProto, side: usize) -> Vec<u8> {
    let deepest =
        Exit { name: "deepest".to_owned(), params: 0, macs: 0, temperature: 1.0, threshold: None };
    encode(graph, &metadata(side, ["a", "b"], vec![deepest]))
}

/// A graph on grey images of this side: `build` adds nodes, and their output `[N, C, …]` becomes two
/// logits.
fn graph(side: i64, channels: i64, build: impl FnOnce(&mut Graph, &Value) -> Value) -> GraphProto {
    let mut graph = Graph::new("crafted");
    let images = graph.input("images", &[1, side, side]);
    let map = build(&mut graph, &images);
    let mean = graph.node("GlobalAveragePool", &[&map], vec![]);
    let rows = graph.node("Flatten", &[&mean], vec![int("axis", 1)]);
    let count = (channels * 2) as usize;
    let weight = graph.weight("weight", &[channels, 2], &vec![0.5; count]);
    let logits = graph.node("Gemm", &[&rows, &weight], vec![]);
    graph.output(&logits, "logits", &[2]);
    graph.finish()
}

/// Classifies an image within the limits.
fn classify(model: &[u8], image: &[u8], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx"), model).unwrap();
    std::fs::write(folder.path().join("image.png"), image).unwrap();
    run(folder.path(), arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_sd-infer");
    let limited = format!("ulimit -v {}; ulimit -t {SECONDS}; exec \"$@\"", MEMORY / 1024);
    Command::new("sh")
        .args(["-c", &limited, "sh", program, "model.onnx", "image.png"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn png(image: GrayImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Checks that a model is refused, with a message that has `expected` in it.
fn assert_refused(name: &str, model: &[u8], expected: &str) {
    assert!(model.len() <= 1 << 20, "{name}: {} bytes", model.len());
    for arguments in [&[][..], &["--engine", "rten"]] {
        let found = classify(model, &png(GrayImage::new(4, 4)), arguments);
        let error = String::from_utf8_lossy(&found.stderr);
        assert_eq!(found.status.code(), Some(1), "{name}, {arguments:?}: {error}");
        assert!(error.contains(expected), "{name}, {arguments:?}: {error}");
    }
}

#[test]
fn values_of_gigabytes_are_refused() {
    let pixels = graph(4096, 20, |graph, images| {
        let weight = graph.weight("weight", &[20, 1, 1, 1], &[0.5; 20]);
        graph.node("Conv", &[images, &weight], vec![ints("kernel_shape", &[1, 1])])
    });
    assert_refused("20 channels of 4096×4096", &file(pixels, 4096), "(max_memory)");
    let expanded = graph(1, 1, |graph, images| {
        let sides = graph.longs("sides", &[1, 1, 1 << 20, 1 << 20]);
        graph.node("Expand", &[images, &sides], vec![])
    });
    assert_refused("2⁴⁰ values", &file(expanded, 1), "(max_memory)");
    let resized = graph(4, 1, |graph, images| {
        let scales = graph.weight("scales", &[4], &[1.0, 1.0, 4096.0, 4096.0]);
        let values = [images, &Value::none(), &scales];
        let linear = vec![sd_onnx::string("mode", "linear")];
        graph.node("Resize", &values, linear)
    });
    assert_refused("4096 times as large", &file(resized, 4), "(max_memory)");
    let transposed = graph(256, 1, |graph, images| {
        let weight = graph.weight("weight", &[1, 1, 256, 256], &vec![0.5; 1 << 16]);
        let strides = vec![ints("strides", &[128, 128])];
        graph.node("ConvTranspose", &[images, &weight], strides)
    });
    assert_refused("a transposed convolution", &file(transposed, 256), "(max_memory)");
}

#[test]
fn minutes_of_work_are_refused_before_they_start() {
    let pools = graph(512, 1, |graph, images| {
        let pool = |graph: &mut Graph, value: &Value| {
            let pads = ints("pads", &[32, 32, 31, 31]);
            graph.node("MaxPool", &[value], vec![ints("kernel_shape", &[64, 64]), pads])
        };
        (0..3).fold(images.clone(), |value, _| pool(graph, &value))
    });
    assert_refused("three pools", &file(pools, 512), "(max_work)");
    let dense = graph(512, 48, |graph, images| {
        let weight = graph.weight("weight", &[48, 1, 64, 64], &vec![0.5; 48 << 12]);
        let pads = ints("pads", &[32, 32, 31, 31]);
        graph.node("Conv", &[images, &weight], vec![ints("kernel_shape", &[64, 64]), pads])
    });
    assert_refused("a large kernel", &file(dense, 512), "(max_work)");
}

/// A weight that many nodes share is packed for each.
#[test]
fn weights_that_are_packed_often_are_refused() {
    let shared = graph(32, 4096, |graph, images| {
        let weight = graph.weight("weight", &[4096, 1, 4, 4], &vec![0.5; 1 << 16]);
        let window = || vec![ints("kernel_shape", &[4, 4]), ints("strides", &[4, 4])];
        let first = graph.node("Conv", &[images, &weight], window());
        (0..2000).fold(first, |sum, _| {
            let map = graph.node("Conv", &[images, &weight], window());
            graph.node("Add", &[&sum, &map], vec![])
        })
    });
    assert_refused("a shared weight", &file(shared, 32), "(max_memory)");
}

#[test]
fn files_of_too_many_messages_are_refused() {
    let mut nodes = graph(4, 1, |_, images| images.clone());
    nodes.node = vec![NodeProto::default(); 500_000];
    assert_refused("empty nodes", &file(nodes, 4), "found 500000 nodes, expected at most 8192");
    let mut weights = graph(4, 1, |_, images| images.clone());
    let empty = TensorProto::new("", &[], ElementType::Float, vec![]);
    weights.initializer = vec![empty; 80_000];
    assert_refused("empty weights", &file(weights, 4), " is defined twice");
    let mut attributes = graph(4, 1, |_, images| images.clone());
    attributes.node[0].attribute = vec![Default::default(); 500_000];
    let found = classify(&file(attributes, 4), &png(GrayImage::new(4, 4)), &[]);
    assert!(found.status.code().is_some(), "ends by itself");
    let mut many = file(graph(4, 1, |_, images| images.clone()), 4);
    // Empty metadata.
    many.extend([0x72, 0x00].repeat(600_000));
    let found = classify(&many, &png(GrayImage::new(4, 4)), &[]);
    let error = String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{error}");
    assert!(error.contains("the file has more than 524288 fields"), "{error}");
}

/// A chain as long as is accepted, on the small stack of a test's thread. rten plans it recursively.
#[test]
fn long_chains_do_not_exhaust_the_stack() {
    let chain = graph(2, 1, |graph, images| {
        (0..8_000).fold(images.clone(), |value, _| graph.node("HardSwish", &[&value], vec![]))
    });
    let options = Options { engine: Some(Engine::Rten), ..Options::default() };
    let chain = vec![file(chain, 2)];
    let load = move || Classifier::load(chain, Path::new("chain.onnx"), options).unwrap();
    let classify = move || load().classify(&GrayImage::new(2, 2).into()).unwrap();
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(classify).unwrap();
    assert_eq!(thread.join().unwrap().labels[0].name, "a");
}

#[test]
fn images_of_many_pixels_are_refused() {
    let mean = file(graph(4, 1, |_, images| images.clone()), 4);
    let mut large = png(GrayImage::new(4, 4));
    large[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0x20, 0]);
    let checksum = crc32fast::hash(&large[12..29]);
    large[29..33].copy_from_slice(&checksum.to_be_bytes());
    let found = classify(&mean, &large, &[]);
    let error = String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{error}");
    let expected = "found 65535×8192 pixels, expected at most 50000000 in all";
    assert!(error.contains(expected), "{error}");
}

/// The image in between would have 65,535×4,096 pixels.
#[test]
fn a_long_image_is_resized_to_a_large_input() {
    let mean = file(graph(4096, 1, |_, images| images.clone()), 4096);
    for (width, height) in [(65_535, 1), (1, 65_535), (65_535, 762), (762, 65_535)] {
        let found = classify(&mean, &png(GrayImage::new(width, height)), &[]);
        let error = String::from_utf8_lossy(&found.stderr);
        assert_eq!(found.status.code(), Some(0), "{width}×{height}: {error}");
    }
}

#[test]
fn a_model_file_larger_than_the_memory_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = std::fs::File::create(folder.path().join("model.onnx")).unwrap();
    model.set_len(1 << 40).unwrap();
    let found = run(folder.path(), &["--max-memory", "16"]);
    let error = String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{error}");
    assert!(error.contains("more than 16777216 bytes (max_memory)"), "{error}");
}
