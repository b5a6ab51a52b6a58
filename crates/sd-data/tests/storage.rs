//! Images that are read when they are needed.

mod stored;

use image::{Rgb, RgbImage};
use sd_data::{Batch, DataConfig, Error};
use std::fs;
use stored::{AUGMENTS, CROP, batches, config, loader, open, pets};
use tempfile::TempDir;

#[test]
fn streamed_images_give_the_batches_of_those_in_memory() {
    let data_dir = pets();
    for augment in AUGMENTS {
        for images in ["", ", crop_from = 22"] {
            let [memory, stream] =
                ["'memory'", "'stream'"].map(|storage| config(storage, images, augment));
            let (in_memory, streamed) = (open(&memory, &data_dir), open(&stream, &data_dir));
            assert!(in_memory.train.is_in_memory() && !streamed.train.is_in_memory());
            assert_eq!(in_memory.normalization, streamed.normalization);
            assert_eq!(*in_memory.train, *streamed.train);
            let expected = batches(&in_memory, &memory, 1);
            assert_eq!(expected.len(), 10);
            for threads in [1, 2, 5] {
                assert!(batches(&streamed, &stream, threads) == expected, "{augment} {images}");
            }
            // After a resume.
            for first in 1..4 {
                let rest = loader(&streamed, &stream, 2).epoch(1, first);
                let rest = rest.collect::<sd_data::Result<Vec<Batch>>>().unwrap();
                assert!(rest == expected[4 + first..8], "{augment} from {first}");
            }
        }
    }
}

/// What distinguishes this from a crop of the resized image.
#[test]
fn random_crops_come_from_the_original_pixels() {
    let data_dir = TempDir::new().unwrap();
    for (index, class) in ["cat", "dog"].into_iter().enumerate() {
        for split in ["train", "val"] {
            let folder = data_dir.path().join("pets").join(split).join(class);
            fs::create_dir_all(&folder).unwrap();
            // Stripes of one pixel, grey when they are resized.
            let stripes = RgbImage::from_fn(64, 64, |x, _| Rgb([(x % 2 * 255) as u8; 3]));
            stripes.save(folder.join(format!("{index}.png"))).unwrap();
        }
    }
    let crop = "{ random_resized_crop = { scale = [0.0625, 0.0625], ratio = [1.0, 1.0] } }";
    let spread = |augment: &str, images: &str| {
        let config = config("'memory'", images, augment);
        let batch = loader(&open(&config, &data_dir), &config, 1).epoch(0, 0).next().unwrap();
        let pixels = batch.unwrap().pixels;
        pixels.iter().fold(0.0_f32, |most, value| most.max((value - pixels[0]).abs()))
    };
    // A sixteenth of 64×64 is the size of the input.
    assert!(spread(crop, "") > 1.5);
    assert!(spread(&format!("{{ flip = {{}} }}, {crop}"), "") < spread(crop, "") / 2.0);
    assert!(spread(crop, ", crop_from = 32") < spread(crop, "") / 2.0);
}

#[test]
fn images_beyond_the_memory_are_streamed() {
    let data_dir = pets();
    let streamed = open(&config("'auto', memory_gb = 0", "", CROP), &data_dir);
    assert!(!streamed.train.is_in_memory());
    let memory = open(&config("'auto'", "", CROP), &data_dir);
    assert!(memory.train.is_in_memory());
    assert_eq!(memory.train.checksum_of_files(), streamed.train.checksum_of_files());
    assert_eq!((memory.train.checksum().is_some(), streamed.train.checksum()), (true, None));
}

#[test]
fn held_back_and_bordered_images_stream() {
    let data_dir = pets();
    fs::remove_dir_all(data_dir.path().join("pets/val")).unwrap();
    let shares = "validation = { fraction = 0.2, seed = 1 }\npad = 1\n";
    let [memory, stream] = ["'memory'", "'stream'"].map(|storage| {
        let DataConfig { dataset, augment, .. } = config(storage, "", CROP);
        let rest: DataConfig = toml::from_str(&format!("dataset = 'cifar10'\n{shares}")).unwrap();
        DataConfig { dataset, augment, ..rest }
    });
    let (in_memory, streamed) = (open(&memory, &data_dir), open(&stream, &data_dir));
    assert_eq!((in_memory.train.len(), in_memory.valid.as_ref().unwrap().len()), (16, 4));
    assert!(batches(&in_memory, &memory, 2) == batches(&streamed, &stream, 2));
}

#[test]
fn a_file_that_breaks_during_an_epoch_is_named() {
    let data_dir = pets();
    let mut stream = config("'stream'", "", CROP);
    let mean = vec![0.5; 3];
    stream.normalize = sd_data::NormalizeConfig::Given(sd_data::GivenNormalization {
        deviation: mean.clone(),
        mean,
    });
    let data = open(&stream, &data_dir);
    let broken = data_dir.path().join("pets/train/dog/05.jpg");
    fs::write(&broken, "no image").unwrap();
    let mut epoch = loader(&data, &stream, 2).epoch(0, 0);
    let results: Vec<_> = epoch.by_ref().collect();
    assert!(epoch.next().is_none());
    let (last, before) = results.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok) && results.len() <= 4);
    let error = last.as_ref().unwrap_err();
    assert!(matches!(error, Error::Image(_)));
    assert!(
        error.to_string().contains("pets/train/dog/05.jpg`: found an unknown format"),
        "{error}"
    );
    fs::remove_file(&broken).unwrap();
    let error = data.train.image(1).and(data.train.pixels()).unwrap_err().to_string();
    assert!(error.contains("05.jpg`: No such file"), "{error}");
    // A pass over all images names all of them.
    fs::write(data_dir.path().join("pets/train/cat/00.png"), "").unwrap();
    let measured = config("'stream'", "", CROP).open(data_dir.path()).unwrap_err().to_string();
    assert!(measured.contains("00.png"), "{measured}");
    fs::write(&broken, "").unwrap();
    let measured = config("'stream'", "", CROP).open(data_dir.path()).unwrap_err().to_string();
    assert!(measured.starts_with("2 of 20 files") && measured.contains("05.jpg"), "{measured}");
}

#[test]
fn broken_files_are_skipped_as_in_memory() {
    let data_dir = pets();
    fs::write(data_dir.path().join("pets/train/cat/02.jpg"), "no image").unwrap();
    let [memory, stream] =
        ["'memory'", "'stream'"].map(|storage| config(storage, ", skip_broken = true", CROP));
    let (in_memory, streamed) = (open(&memory, &data_dir), open(&stream, &data_dir));
    assert_eq!(in_memory.train.len(), 19);
    assert!(batches(&in_memory, &memory, 2) == batches(&streamed, &stream, 2));
}

/// All that a streamed set holds is its list of files.
#[test]
fn checks_and_previews_read_streamed_images() {
    let data_dir = pets();
    let stream = config("'stream'", "", CROP);
    let [memory, streamed] = ["'memory'", "'stream'"].map(|storage| {
        let config = config(storage, "", CROP);
        let splits = config.dataset.get().load(data_dir.path()).unwrap();
        sd_data::check::Check::new("pets".to_owned(), &splits).unwrap().to_string()
    });
    assert_eq!(memory, streamed);
    let copied = data_dir.path().join("pets/train/dog/01.jpg");
    fs::copy(&copied, data_dir.path().join("pets/val/dog/again.jpg")).unwrap();
    let splits = stream.dataset.get().load(data_dir.path()).unwrap();
    let check = sd_data::check::Check::new("pets".to_owned(), &splits).unwrap();
    assert_eq!(check.duplicates.len(), 1);
}
