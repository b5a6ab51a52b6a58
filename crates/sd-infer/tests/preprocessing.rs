//! What the network sees is what training computes, to the bit.

use std::path::Path;

use image::{DynamicImage, GrayImage, RgbImage};
use sd_data::{Data, DataConfig, Loader, LoaderConfig};
use sd_infer::prepare;
use sd_onnx::{Input, Layout, Resize};

fn input(config: &DataConfig, data: &Data) -> Input {
    let (shape, _) = config.input();
    // As `export` writes and `Classifier` reads it.
    let input = Input {
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        border: config.pad,
        resize: Resize::Triangle,
        layout: Layout::Nchw,
        mean: data.normalization.mean.clone(),
        deviation: data.normalization.deviation.clone(),
    };
    serde_json::from_str(&serde_json::to_string(&input).unwrap()).unwrap()
}

#[test]
fn a_byte_becomes_the_number_that_training_sees() {
    for (channels, height, width, pad) in [(1, 28, 28, 2), (3, 16, 24, 0), (3, 9, 7, 1)] {
        let config: DataConfig = toml::from_str(&format!(
            "dataset = {{ synthetic = {{ classes = 3, train = 30, test = 7, channels = {channels}, \
             height = {height}, width = {width}, seed = 5 }} }}\npad = {pad}"
        ))
        .unwrap();
        let data = config.open(Path::new("nowhere")).unwrap();
        let input = input(&config, &data);
        let loader = Loader::new(
            data.test.clone(),
            LoaderConfig::in_order(7, 1, data.normalization.clone()),
        )
        .unwrap();
        let batch = loader.epoch(0, 0).next().unwrap();
        let values = input.channels * input.height * input.width;
        let images = config.dataset.load(Path::new("nowhere")).unwrap().test;
        for (index, trained) in batch.pixels.chunks_exact(values).enumerate() {
            let (width, height, bytes) =
                (width as u32, height as u32, images.image(index).to_vec());
            let image: DynamicImage = match channels {
                1 => GrayImage::from_raw(width, height, bytes).unwrap().into(),
                _ => RgbImage::from_raw(width, height, bytes).unwrap().into(),
            };
            let prepared = prepare(&image, &input);
            // The loader's batches are [N, H, W, C].
            let positions = input.height * input.width;
            for (place, value) in prepared.iter().enumerate() {
                let trained = trained[place % positions * input.channels + place / positions];
                assert_eq!(value.to_bits(), trained.to_bits(), "image {index}, place {place}");
            }
        }
    }
}
