//! Packed data sets.

mod stored;

use sd_data::DataConfig;
use sd_data::pack::{PackForm, pack};
use std::fs;
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
    for form in [PackForm::Pixels, PackForm::Files] {
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
        ("\"label\":0", "\"label\":2", "label 2 of `train/cat/00.png`"),
        ("\"original\":[24,30]", "\"original\":[0,30]", "a wrong place of `train/cat/00.png`"),
        ("\"offset\":8", "\"offset\":18446744073709551615", "a wrong place of `train/cat/00.png`"),
        ("\"shards\":[]", "\"shards\":[0]", "another number of shards"),
    ] {
        fs::write(&path, reindexed(&whole, from, to)).unwrap();
        let error = config.open(data_dir.path()).unwrap_err().to_string();
        assert!(error.contains("pets.pack`: found ") && error.contains(found), "{error}");
    }
}
