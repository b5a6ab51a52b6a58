//! Preprocessing is bit-equal to training.

use std::path::Path;

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{DynamicImage, GrayImage, ImageEncoder, RgbImage};
use sd_data::{Batch, Data, DataConfig, Loader, LoaderConfig};
use sd_infer::{input, prepare};
use sd_onnx::{Input, Layout, Resize};

/// The input description, as `export` writes and `Classifier` reads it.
fn input_description(config: &DataConfig, data: &Data, resize: Resize) -> Input {
    let (shape, _) = config.input();
    let input = Input {
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        border: config.pad,
        resize,
        layout: Layout::Nchw,
        mean: data.normalization.mean.clone(),
        deviation: data.normalization.deviation.clone(),
    };
    serde_json::from_str(&serde_json::to_string(&input).unwrap()).unwrap()
}

/// All test images, as in a training batch.
fn batch(data: &Data) -> Batch {
    let images = data.test.clone().unwrap();
    let config = LoaderConfig::in_order(images.len(), 1, data.normalization.clone());
    Loader::new(images, config).unwrap().epoch(0, 0).next().unwrap().unwrap()
}

/// Compares an image of a batch with a preprocessed one.
fn assert_same(batch: &Batch, index: usize, prepared: &[f32], input: &Input, what: &str) {
    // The loader's batches are [N, H, W, C].
    let positions = input.height * input.width;
    let trained = &batch.pixels[index * prepared.len()..][..prepared.len()];
    for (place, value) in prepared.iter().enumerate() {
        let trained = trained[place % positions * input.channels + place / positions];
        assert_eq!(value.to_bits(), trained.to_bits(), "{what}, place {place}");
    }
}

#[test]
fn images_of_the_training_size_are_bit_equal_to_training() {
    for (channels, height, width, pad) in [(1, 28, 28, 2), (3, 16, 24, 0), (3, 9, 7, 1)] {
        let config: DataConfig = toml::from_str(&format!(
            "dataset = {{ synthetic = {{ classes = 3, train = 30, test = 7, channels = {channels}, \
             height = {height}, width = {width}, seed = 5 }} }}\npad = {pad}"
        ))
        .unwrap();
        let data = config.open(Path::new("nowhere")).unwrap();
        let input = input_description(&config, &data, Resize::Triangle);
        let batch = batch(&data);
        let images = config.dataset.get().load(Path::new("nowhere")).unwrap().test.unwrap();
        for index in 0..images.len() {
            let (width, height, bytes) =
                (width as u32, height as u32, images.image(index).unwrap().to_vec());
            let image: DynamicImage = match channels {
                1 => GrayImage::from_raw(width, height, bytes).unwrap().into(),
                _ => RgbImage::from_raw(width, height, bytes).unwrap().into(),
            };
            assert_same(&batch, index, &prepare(&image, &input), &input, &format!("image {index}"));
        }
    }
}

/// A picture without symmetries.
fn picture(width: u32, height: u32) -> DynamicImage {
    let image = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x * 4, y * 3 + x, x * y].map(|value| value as u8))
    });
    image.into()
}

/// Writes a rotated picture with its EXIF orientation (6).
fn write_rotated(mut encoder: impl ImageEncoder, picture: &DynamicImage) {
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    encoder.set_exif_metadata(exif).unwrap();
    let (width, height, color) = (picture.width(), picture.height(), picture.color());
    encoder.write_image(picture.as_bytes(), width, height, color.into()).unwrap();
}

/// Writes image files of every format, colour type, size and orientation.
fn write_pictures(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let save = |name: &str, picture: DynamicImage| picture.save(folder.join(name)).unwrap();
    save("portrait.jpg", picture(41, 63));
    save("landscape.png", picture(70, 31));
    save("larger.webp", picture(301, 200));
    save("smaller.png", picture(9, 17));
    save("side.png", picture(28, 28));
    save("square.png", picture(36, 36));
    save("row.png", picture(90, 1));
    save("grey.png", picture(50, 40).to_luma8().into());
    save("grey-and-clear.png", picture(40, 50).to_luma_alpha8().into());
    save("grey-of-16-bits.png", picture(40, 50).to_luma16().into());
    save("of-16-bits.png", picture(40, 52).to_rgb16().into());
    let mut clear = picture(33, 44).to_rgba8();
    clear.pixels_mut().for_each(|pixel| pixel[3] = pixel[0]);
    save("clear.png", clear.into());
    let file = |name: &str| std::fs::File::create(folder.join(name)).unwrap();
    write_rotated(JpegEncoder::new(file("rotated.jpg")), &picture(48, 30));
    write_rotated(PngEncoder::new(file("rotated.png")), &picture(28, 28));
    write_rotated(WebPEncoder::new_lossless(file("rotated.webp")), &picture(37, 50));
}

#[test]
fn image_files_are_bit_equal_to_training() {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "test"] {
        write_pictures(&folder.path().join("pets").join(split).join("cat"));
    }
    for (side, shorter, pad) in [(28, 28, 0), (28, 36, 0), (28, 28, 2), (1, 40, 2)] {
        let config: DataConfig = toml::from_str(&format!(
            "dataset = {{ image_folder = {{ folder = 'pets', classes = 1, \
             images = {{ side = {side}, shorter_side = {shorter} }} }} }}\npad = {pad}"
        ))
        .unwrap();
        let data = config.open(folder.path()).unwrap();
        let images = data.test.as_ref().unwrap();
        assert_eq!(images.len(), 15);
        let input = input_description(&config, &data, Resize::ShorterSide { pixels: shorter });
        let batch = batch(&data);
        for index in 0..images.len() {
            let file = images.file(index).unwrap();
            let image = input::read(&folder.path().join("pets").join(file)).unwrap();
            let what = format!("{file}, {shorter} to {side}, border {pad}");
            assert_same(&batch, index, &prepare(&image, &input), &input, &what);
        }
    }
}
