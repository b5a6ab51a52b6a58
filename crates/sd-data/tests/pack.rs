//! Packed data sets.

mod stored;

use sd_data::pack::{PackForm, pack};
use sd_data::{DataConfig, ImageSet};
use std::fs;
use std::io::Cursor;
use stored::{AUGMENTS, CROP, batches, config, open, pets};
use tempfile::TempDir;

/// The configuration of a packed file, after it was written.
fn packed(data_dir: &TempDir, images: &str, augment: &str, form: PackForm) -> DataConfig {
    let config = config("{ packed = 'pets.pack' }", images, augment);
    let packed = pack(&config, data_dir.path(), &data_dir.path().join("pets.pack"), form).unwrap();
    assert_eq!(packed.images, 24);
    config
}

#[test]
fn packed_images_give_the_batches_of_those_in_memory() {
    for augment in AUGMENTS {
        for (form, images) in
            [(PackForm::Pixels, ""), (PackForm::Pixels, ", crop_from = 22"), (PackForm::Files, "")]
        {
            let data_dir = pets();
            let memory = config("'memory'", images, augment);
            let in_memory = open(&memory, &data_dir);
            let config = packed(&data_dir, images, augment, form);
            fs::remove_dir_all(data_dir.path().join("pets")).unwrap();
            let from_pack = open(&config, &data_dir);
            assert_eq!(*from_pack.train, *in_memory.train);
            assert_eq!(from_pack.train.checksum(), in_memory.train.checksum());
            assert_eq!(from_pack.train.checksum_of_files(), in_memory.train.checksum_of_files());
            let expected = batches(&in_memory, &memory, 2);
            assert!(batches(&from_pack, &config, 3) == expected, "{augment} {images} {form:?}");
        }
    }
}

/// Neither are they copied, which would give their pixels a checksum.
#[test]
fn packed_images_take_a_border_as_those_in_memory_do() {
    let data_dir = pets();
    let memory = DataConfig { pad: 2, ..config("'memory'", "", "{ flip = {} }") };
    let config = packed(&data_dir, "", "{ flip = {} }", PackForm::Pixels);
    let config = DataConfig { pad: 2, ..config };
    let (from_pack, in_memory) = (open(&config, &data_dir), open(&memory, &data_dir));
    assert_eq!(*from_pack.train, *in_memory.train);
    assert!(batches(&from_pack, &config, 3) == batches(&in_memory, &memory, 2));
    assert!(from_pack.train.is_in_memory() && from_pack.train.checksum().is_none());
}

/// At the best quality they are nearly the images.
#[test]
fn packed_jpegs_are_resized_images() {
    for (images, shorter) in [(", crop_from = 18", 20), (", crop_from = 22", 22)] {
        let data_dir = pets();
        let memory = config("'memory'", images, CROP);
        let in_memory = open(&memory, &data_dir);
        let size = |images| {
            packed(&data_dir, images, CROP, PackForm::Jpeg(90));
            fs::metadata(data_dir.path().join("pets.pack")).unwrap().len()
        };
        assert!(size(images) < size(", crop_from = 60"));
        let config = packed(&data_dir, images, CROP, PackForm::Jpeg(100));
        fs::remove_dir_all(data_dir.path().join("pets")).unwrap();
        for (width, height) in sizes_of_jpegs(&fs::read(data_dir.path().join("pets.pack")).unwrap())
        {
            assert_eq!(width.min(height), shorter);
        }
        let from_pack = open(&config, &data_dir);
        assert_eq!(from_pack.train.labels(), in_memory.train.labels());
        // The recorded checksum is that of the pixels, which are not quite those of the files.
        let read = ImageSet::new(
            from_pack.train.shape(),
            from_pack.train.pixels().unwrap(),
            from_pack.train.labels().to_vec(),
            from_pack.train.class_names().to_vec(),
        );
        assert_eq!(from_pack.train.checksum(), read.unwrap().checksum());
        assert_ne!(from_pack.train.checksum(), in_memory.train.checksum());
        assert_ne!(from_pack.train.checksum_of_files(), in_memory.train.checksum_of_files());
        let values = |data, config| -> Vec<f32> {
            batches(data, config, 2).iter().flat_map(|batch| batch.pixels.to_vec()).collect()
        };
        let (found, expected) = (values(&from_pack, &config), values(&in_memory, &memory));
        let sum = |values: Vec<f32>| values.iter().map(|value| value.abs()).sum::<f32>();
        let difference = sum(found.iter().zip(&expected).map(|(a, b)| a - b).collect());
        assert!(difference < 0.1 * sum(expected), "{images}: {difference}");
    }
}

/// Width and height of each JPEG file in a packed file, by their frame headers.
fn sizes_of_jpegs(packed: &[u8]) -> Vec<(u32, u32)> {
    let start = |bytes: &[u8]| bytes.windows(3).position(|three| three == [0xff, 0xd8, 0xff]);
    let (mut rest, mut sizes) = (packed, Vec::new());
    while let Some(at) = start(rest) {
        let file = &rest[at..];
        let size = image::ImageReader::new(Cursor::new(file)).with_guessed_format().unwrap();
        sizes.push(size.into_dimensions().unwrap());
        rest = &file[3..];
    }
    assert_eq!(sizes.len(), 24);
    sizes
}

#[test]
fn packed_jpegs_need_a_side_to_crop_from() {
    let data_dir = pets();
    let path = data_dir.path().join("pets.pack");
    let error = pack(&config("'stream'", "", CROP), data_dir.path(), &path, PackForm::Jpeg(90));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("images.crop_from` is missing, expected the shorter side"), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_packed_file_of_other_settings_is_refused() {
    let data_dir = pets();
    let plain = packed(&data_dir, "", "", PackForm::Pixels);
    assert!(open(&plain, &data_dir).train.is_in_memory());
    let message = |config: DataConfig| config.open(data_dir.path()).unwrap_err().to_string();
    let storage = "{ packed = 'pets.pack' }";
    let crop = message(config(storage, "", CROP));
    let facts = "pets.pack`: found `pets` with side 16 and shorter side 20, without pixels for \
                 random_resized_crop, expected `pets` with side 16 and shorter side 20, with all pixels";
    assert!(crop.contains(facts) && crop.ends_with("run `data pack` again"), "{crop}");
    let text = toml::to_string(&plain).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        message(toml::from_str(&text.replace(from, to)).unwrap())
    };
    let side = changed("shorter_side = 20", "shorter_side = 18");
    assert!(side.contains("expected `pets` with side 16 and shorter side 18"), "{side}");
    assert!(changed("folder = \"pets\"", "folder = \"cats\"").contains("expected `cats`"));
    assert!(changed("classes = 2", "classes = 3").contains("image_folder.classes` is 3"));
    assert!(changed("pets.pack", "no.pack").contains("`cargo xtask data pack CONFIG`"));
}

#[test]
fn a_damaged_packed_file_is_named() {
    let data_dir = pets();
    let path = data_dir.path().join("pets.pack");
    for form in [PackForm::Pixels, PackForm::Files, PackForm::Jpeg(90)] {
        let config = packed(&data_dir, "", "", form);
        let whole = fs::read(&path).unwrap();
        let opened = |bytes: &[u8]| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            config
                .open(data_dir.path())
                .map(|data| batches(&data, &config, 2))
                .map_err(|e| e.to_string())
        };
        let message = |bytes: &[u8]| opened(bytes).unwrap_err();
        assert!(opened(&whole).is_ok());
        assert!(message(&whole[1..]).contains("pets.pack`: found another kind of file"));
        assert!(message(b"").contains("pets.pack`"));
        for end in [8, 30, whole.len() / 2, whole.len() - 1] {
            let truncated = message(&whole[..end]);
            assert!(
                truncated.contains(&format!("found a truncated file of {end} bytes")),
                "{truncated}"
            );
        }
        let mut damaged = whole.clone();
        let index = whole.len() - 40;
        damaged[index] ^= 1;
        assert!(message(&damaged).contains("found a damaged index"));
        let mut damaged = whole.clone();
        damaged[20] ^= 1;
        let error = message(&damaged);
        assert!(
            error.contains("pets.pack`: `train/cat/00.png` is damaged: its checksum is "),
            "{error}"
        );
    }
}

/// A packed file whose index was changed, with the checksum of the new index.
fn reindexed(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (rest, end) = file.split_at(file.len() - 28);
    let offset = u64::from_le_bytes(end[..8].try_into().unwrap()) as usize;
    let (images, index) = rest.split_at(offset);
    let index = std::str::from_utf8(index).unwrap();
    assert!(index.contains(from), "{index}");
    let index = index.replacen(from, to, 1);
    let length = (index.len() as u64).to_le_bytes();
    let checksum = crc32fast::hash(index.as_bytes()).to_le_bytes();
    [images, index.as_bytes(), &end[..8], &length, &checksum, &end[20..]].concat()
}

#[test]
fn a_crafted_packed_file_is_refused() {
    let data_dir = pets();
    let path = data_dir.path().join("pets.pack");
    let config = packed(&data_dir, "", CROP, PackForm::Pixels);
    let whole = fs::read(&path).unwrap();
    for (from, to, found) in [
        ("\"label\":0", "\"label\":2", "`train/cat/00.png` with label 2"),
        (
            "\"original\":[24,30]",
            "\"original\":[0,30]",
            "`train/cat/00.png` as 2928 bytes at byte 8",
        ),
        ("\"offset\":8", "\"offset\":18446744073709551615", "at byte 18446744073709551615"),
        ("\"shards\":[]", "\"shards\":[0]", "those of another number of images"),
    ] {
        fs::write(&path, reindexed(&whole, from, to)).unwrap();
        let error = config.open(data_dir.path()).unwrap_err().to_string();
        assert!(error.contains("pets.pack`: found ") && error.contains(found), "{error}");
    }
}
