//! Shards of WebDataset.

mod stored;

use sd_data::pack::{PackForm, pack};
use sd_data::{Batch, Data, DataConfig};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use stored::{AUGMENTS, CROP, batches, config, loader, open, pets};
use tempfile::TempDir;

/// Writes the images of `pets` into shards, three of training images.
fn shards(data_dir: &TempDir) {
    let mut of_shard: BTreeMap<String, tar::Builder<fs::File>> = BTreeMap::new();
    for (split, class) in [("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "dog")] {
        let folder = data_dir.path().join("pets").join(split).join(class);
        let mut files: Vec<_> =
            folder.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for (index, path) in files.into_iter().enumerate() {
            let shard = if split == "val" {
                "val.tar".to_owned()
            } else {
                format!("train-{}.tar", index / 4)
            };
            let builder = of_shard.entry(shard).or_insert_with_key(|name| {
                tar::Builder::new(fs::File::create(data_dir.path().join(name)).unwrap())
            });
            let stem = format!("{class}/{}", path.file_stem().unwrap().display());
            let mut append = |ending: &str, bytes: &[u8]| {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                builder.append_data(&mut header, format!("{stem}.{ending}"), bytes).unwrap();
            };
            let label = usize::from(class == "dog");
            let ending = path.extension().unwrap().display().to_string();
            append(&ending, &fs::read(&path).unwrap());
            match index % 3 {
                0 => append("json", format!("{{\"label\": {label}, \"width\": 5}}").as_bytes()),
                1 => append("cls", format!("{label}\n").as_bytes()),
                _ => {
                    append("cls", label.to_string().as_bytes());
                    append("json", b"{\"author\": \"nobody\"}");
                }
            }
        }
    }
    of_shard.into_values().for_each(|builder| builder.into_inner().unwrap().sync_all().unwrap());
}

fn shards_config(storage: &str, buffer: usize, augment: &str) -> DataConfig {
    let text = format!(
        "dataset = {{ shards = {{ train = 'train-{{0..2}}.tar', valid = 'val.tar', classes = 2, \
         buffer = {buffer}, images = {{ side = 16, shorter_side = 20, storage = {storage} }} }} }}\n\
         augment = [{augment}]"
    );
    toml::from_str(&text).unwrap()
}

#[test]
fn shards_give_the_same_batches_in_every_form() {
    let data_dir = pets();
    shards(&data_dir);
    let pack_path = data_dir.path().join("shards.pack");
    for augment in AUGMENTS {
        for buffer in [1, 5, 20] {
            let memory = shards_config("'memory'", buffer, augment);
            let stream = shards_config("'stream'", buffer, augment);
            let packed = shards_config("{ packed = 'shards.pack' }", buffer, augment);
            let (in_memory, streamed) = (open(&memory, &data_dir), open(&stream, &data_dir));
            pack(&packed, data_dir.path(), &pack_path, PackForm::Pixels).unwrap();
            let expected = batches(&in_memory, &memory, 1);
            for threads in [1, 3] {
                assert!(batches(&streamed, &stream, threads) == expected, "{augment} {buffer}");
            }
            assert!(batches(&open(&packed, &data_dir), &packed, 2) == expected);
            let rest = loader(&streamed, &stream, 2).epoch(1, 2);
            let rest = rest.collect::<sd_data::Result<Vec<Batch>>>().unwrap();
            assert!(rest == expected[6..8], "{augment} {buffer} after a resume");
            let mut labels =
                expected[..4].iter().flat_map(|batch| batch.labels.clone()).collect::<Vec<_>>();
            labels.sort_unstable();
            assert_eq!(labels, [[0; 10], [1; 10]].concat());
        }
    }
}

/// With a buffer for all images, and images in the order of the folder.
#[test]
fn shards_in_the_order_of_a_folder_give_its_batches() {
    let data_dir = pets();
    shards(&data_dir);
    let (folder, shards) = (config("'stream'", "", CROP), shards_config("'stream'", 20, CROP));
    let (of_folder, of_shards) = (open(&folder, &data_dir), open(&shards, &data_dir));
    let stem = |name: Option<&str>| name.unwrap().rsplit_once('.').unwrap().0[..].to_owned();
    let key = |name: String| name.rsplit('/').next().unwrap().to_owned();
    let at = |index| key(stem(of_folder.train.file(index)));
    let order: Vec<usize> = (0..20)
        .map(|index| {
            (0..20).find(|&other| key(stem(of_shards.train.file(other))) == at(index)).unwrap()
        })
        .collect();
    let train = Arc::new(of_shards.train.select(&order));
    let sorted = Data { train, normalization: of_folder.normalization.clone(), ..of_shards };
    assert!(batches(&sorted, &shards, 2)[..8] == batches(&of_folder, &folder, 2)[..8]);
}

#[test]
fn missing_and_damaged_shards_are_named() {
    let data_dir = pets();
    shards(&data_dir);
    let config = shards_config("'stream'", 5, "");
    let path = data_dir.path().join("train-1.tar");
    let whole = fs::read(&path).unwrap();
    let message = || config.open(data_dir.path()).map(|_| ()).unwrap_err().to_string();
    for end in [700, whole.len() / 2, whole.len() - 1024 - 512, whole.len() - 1024] {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(message().contains("train-1.tar"), "{end}: {}", message());
    }
    fs::write(&path, "no tar file").unwrap();
    assert!(message().contains("train-1.tar"), "{}", message());
    fs::remove_file(&path).unwrap();
    assert!(message().contains("train-1.tar`: No such file"), "{}", message());
    let first = data_dir.path().join("train-0.tar");
    let of_first = fs::read(&first).unwrap();
    fs::write(&first, "no tar file").unwrap();
    assert!((0..8).all(|_| message().contains("train-0.tar")), "{}", message());
    fs::write(&first, of_first).unwrap();
    fs::write(&path, &whole).unwrap();
    let data = open(&config, &data_dir);
    let mut damaged = whole.clone();
    // In the first image, after its header.
    damaged[512..1000].fill(0);
    fs::write(&path, &damaged).unwrap();
    let broken = loader(&data, &config, 2).epoch(0, 0).find_map(Result::err).unwrap().to_string();
    assert!(broken.contains("train-1.tar/cat/"), "{broken}");
    fs::remove_file(&path).unwrap();
    let missing = loader(&data, &config, 2).epoch(0, 0).find_map(Result::err).unwrap().to_string();
    assert!(missing.contains("train-1.tar/") && missing.contains("No such file"), "{missing}");
}

#[test]
fn class_names_come_from_a_file() {
    let data_dir = pets();
    shards(&data_dir);
    let text = toml::to_string(&shards_config("'stream'", 5, "")).unwrap();
    let text = text.replace("classes = 2", "classes = 2\nclass_names = \"names.txt\"");
    let config: DataConfig = toml::from_str(&text).unwrap();
    let path = data_dir.path().join("names.txt");
    fs::create_dir(&path).unwrap();
    let error = config.open(data_dir.path()).unwrap_err().to_string();
    assert!(error.contains("names.txt`: found a folder, expected a regular file"), "{error}");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "cat\ndog\n").unwrap();
    assert_eq!(open(&config, &data_dir).train.class_names(), ["cat", "dog"]);
}

#[test]
fn members_of_a_shard_are_explained() {
    let data_dir = TempDir::new().unwrap();
    let message = |members: &[(&str, &str)]| {
        for name in ["train-0.tar", "train-1.tar", "train-2.tar", "val.tar"] {
            let file = fs::File::create(data_dir.path().join(name)).unwrap();
            let mut builder = tar::Builder::new(file);
            for (name, text) in members {
                let mut header = tar::Header::new_gnu();
                header.set_size(text.len() as u64);
                // `append_data` refuses absolute names.
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                builder.append(&header, text.as_bytes()).unwrap();
            }
            builder.into_inner().unwrap();
        }
        let config = shards_config("'stream'", 5, "");
        config.dataset.get().load(data_dir.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    for (members, expected) in [
        (&[("a.jpg", "")][..], "train-0.tar/a.jpg`: found no label, expected `a.cls` or `a.json`"),
        (&[("/a.jpg", "")], "train-0.tar//a.jpg`: found no label"),
        (&[("a.cls", "1")], "train-0.tar/a`: found a label without an image"),
        (&[("a.jpg", ""), ("a.cls", "2")], "a.cls`: found `2`, expected a label from 0 to 1"),
        (&[("a.jpg", ""), ("a.json", "{\"label\": \"cat\"}")], "expected a label from 0 to 1"),
        (&[("a.txt", "")], "train-0.tar`: found no images"),
        (
            &[("a.jpg", ""), ("a.PNG", ""), ("a.cls", "1")],
            "train-0.tar/a.PNG`: found a second image beside `a.jpg`, expected one image per key",
        ),
        (
            &[("a.cls", "0"), ("a.jpg", ""), ("a.json", "{\"label\": 1}")],
            "train-0.tar/a.json`: found label 1, expected 0, the label in `a.cls`",
        ),
        (&[("a.cls", "0"), ("a.jpg", ""), ("a.json", "{\"cls\": 7}")], "label from 0 to 1"),
    ] {
        let error = message(members).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let members = [("a.jpg", ""), ("a.mask.png", ""), ("a.cls", "1"), ("a.json", "{\"label\": 1}")];
    assert_eq!(message(&members), Ok(()), "the same label twice, and another kind of image");
}

/// The length of a sparse member is that of its pieces, which say what they like.
#[test]
fn a_sparse_member_of_any_length_is_damage() {
    let data_dir = pets();
    shards(&data_dir);
    for offset in [u64::MAX, u64::MAX - 511, 1 << 62] {
        let mut header = tar::Header::new_gnu();
        header.set_path("a.jpg").unwrap();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::GNUSparse);
        let gnu = header.as_gnu_mut().unwrap();
        // Base 256, as GNU tar writes large numbers.
        gnu.sparse[0].offset =
            [&[0x80, 0, 0, 0][..], &offset.to_be_bytes()].concat().try_into().unwrap();
        gnu.sparse[0].numbytes = *b"00000000000\0";
        gnu.realsize = gnu.sparse[0].offset;
        header.set_cksum();
        let shard = [&header.as_bytes()[..], &[0; 1024]].concat();
        fs::write(data_dir.path().join("train-0.tar"), shard).unwrap();
        let error = shards_config("'stream'", 5, "").open(data_dir.path()).unwrap_err().to_string();
        assert!(error.contains("train-0.tar`: found a member that ends at byte"), "{error}");
    }
}
