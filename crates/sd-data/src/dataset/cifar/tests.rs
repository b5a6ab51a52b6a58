use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

fn member(bytes: Vec<u8>) -> Member {
    Member { path: PathBuf::from("some.bin"), bytes }
}

/// Records whose planes hold 1, 2 and 3, with the given fine labels.
fn records(labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &label in labels {
        bytes.extend([19, label]);
        for plane in 1..=3 {
            bytes.extend([plane; PLANE]);
        }
    }
    bytes
}

fn parse(cifar: &Cifar, bytes: Vec<u8>) -> Result<(Vec<u8>, Vec<usize>)> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    cifar.parse(&member(bytes), &mut pixels, &mut labels)?;
    Ok((pixels, labels))
}

#[test]
fn parses_planes_and_the_fine_label() {
    let mut bytes = records(&[7, 99]);
    // Row 1, column 2 of the first image's green plane.
    bytes[2 + PLANE + 32 + 2] = 50;
    let (pixels, labels) = parse(&CIFAR100, bytes).unwrap();
    assert_eq!(labels, [7, 99]);
    assert_eq!(pixels.len(), 2 * SHAPE.values());
    let first = (32 + 2) * 3;
    assert_eq!(pixels[first..first + 6], [1, 50, 3, 1, 2, 3]);
}

#[test]
fn a_label_out_of_range_is_rejected() {
    let error = parse(&CIFAR100, records(&[7, 100, 0])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`some.bin` at byte 3075: found label 100 in record 1, expected a label below 100"
    );
    let mut bytes = vec![0; 3 * 3073];
    bytes[2 * 3073] = 10;
    let error = parse(&CIFAR10, bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`some.bin` at byte 6146: found label 10 in record 2, expected a label below 10"
    );
}

#[test]
fn a_partial_record_is_rejected() {
    let mut bytes = records(&[7, 8]);
    bytes.truncate(3074 + 1000);
    assert_eq!(
        parse(&CIFAR100, bytes).unwrap_err().to_string(),
        "`some.bin` at byte 3074: found a record of 1000 bytes, \
         expected whole records of 3074 bytes"
    );
}

#[test]
fn a_wrong_number_of_records_is_rejected() {
    let path = Path::new("train.bin");
    let error = CIFAR100.check_size(path, 3074, 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`train.bin` at byte 3074: found 3074 bytes, \
         expected 6148 bytes, 2 records of 3074"
    );
    let error = CIFAR100.check_size(path, 9222, 2).unwrap_err();
    assert!(error.to_string().contains("found 9222 bytes"), "{error}");
    CIFAR100.check_size(path, 6148, 2).unwrap();
}

#[test]
fn no_more_than_the_maximum_size_is_read() {
    let endless = std::io::repeat(0);
    let error = read_member(endless, PathBuf::from("a"), 1 << 50, 10).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("at most 10 bytes"), "{error}");
    // Nor if the declared size is wrong.
    let endless = std::io::repeat(0);
    assert_eq!(read_member(endless, PathBuf::from("a"), 5, 10).unwrap().bytes.len(), 10);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..10_000)) {
        for cifar in [&CIFAR10, &CIFAR100] {
            if let Ok((pixels, labels)) = parse(cifar, bytes.clone()) {
                prop_assert_eq!(pixels.len(), labels.len() * SHAPE.values());
            }
        }
    }
}

/// CIFAR-100 with two training records and one test record.
const TINY: Cifar = Cifar { records: (2, 1), ..CIFAR100 };

fn names() -> Vec<u8> {
    (0..100).map(|class| format!("class {class}\n")).collect::<String>().into_bytes()
}

/// The files of `TINY`, not in the order in which they are read.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("train.bin", records(&[7, 99])),
        ("fine_label_names.txt", names()),
        ("coarse_label_names.txt", b"not read".to_vec()),
        ("test.bin", records(&[50])),
    ]
}

fn write_folder(data_dir: &Path, files: &[(&str, Vec<u8>)]) {
    let folder = data_dir.join(TINY.folder);
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

fn write_archive(data_dir: &Path, files: &[(&str, Vec<u8>)]) {
    let file = File::create(data_dir.join(TINY.archive)).unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let name = format!("{}/{name}", TINY.folder);
        archive.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

fn message(data_dir: &Path) -> String {
    TINY.load(data_dir).unwrap_err().to_string()
}

#[test]
fn folder_and_archive_load_alike_and_the_folder_takes_precedence() {
    let data_dir = TempDir::new().unwrap();
    write_archive(data_dir.path(), &files());
    let from_archive = TINY.load(data_dir.path()).unwrap();
    assert_eq!(from_archive.train.labels(), [7, 99]);
    assert_eq!(from_archive.test.as_ref().unwrap().labels(), [50]);
    assert_eq!(from_archive.train.class_names()[99], "class 99");
    // Nothing was unpacked to disk.
    assert_eq!(fs::read_dir(data_dir.path()).unwrap().count(), 1);

    write_folder(data_dir.path(), &files());
    assert_eq!(TINY.load(data_dir.path()).unwrap(), from_archive);
    write_folder(data_dir.path(), &[("train.bin", records(&[1, 2]))]);
    assert_eq!(TINY.load(data_dir.path()).unwrap().train.labels(), [1, 2]);
}

#[test]
fn files_of_wrong_size_are_rejected() {
    let data_dir = TempDir::new().unwrap();
    let folder = data_dir.path().join(TINY.folder);
    write_folder(data_dir.path(), &files());
    for (labels, found) in [(vec![7], "found 3074 bytes"), (vec![7; 3], "found 9222 bytes")] {
        write_folder(data_dir.path(), &[("train.bin", records(&labels))]);
        let message = message(data_dir.path());
        let path = folder.join("train.bin");
        assert!(message.contains(&format!("`{}`", path.display())), "{message}");
        assert!(message.contains(found) && message.contains("6148 bytes"), "{message}");
    }
    fs::remove_file(folder.join("train.bin")).unwrap();
    let message = message(data_dir.path());
    let facts = ["expected the file `cifar-100-binary/train.bin`; fetch it with"];
    assert!(facts.iter().all(|fact| message.contains(fact)), "{message}");
}

#[test]
fn an_incomplete_folder_gives_way_to_the_archive() {
    let data_dir = TempDir::new().unwrap();
    write_folder(data_dir.path(), &files());
    let whole = TINY.load(data_dir.path()).unwrap();
    write_folder(data_dir.path(), &[("test.bin", records(&[])), ("train.bin", records(&[1, 2]))]);
    write_archive(data_dir.path(), &files());
    assert_eq!(TINY.load(data_dir.path()).unwrap(), whole, "a file was cut off");
    fs::remove_file(data_dir.path().join(TINY.folder).join("test.bin")).unwrap();
    assert_eq!(TINY.load(data_dir.path()).unwrap(), whole, "a file is missing");
}

#[test]
fn broken_archives_are_rejected() {
    let data_dir = TempDir::new().unwrap();
    let archive = data_dir.path().join(TINY.archive);
    write_archive(data_dir.path(), &files()[..3]);
    assert_eq!(
        message(data_dir.path()),
        format!("`{}` holds no `cifar-100-binary/test.bin`", archive.display())
    );

    let mut long = files();
    long[3].1.extend(records(&[1]));
    write_archive(data_dir.path(), &long);
    let member = archive.join("cifar-100-binary/test.bin");
    let expected = format!("`{}` at byte 3074: found 6148 bytes", member.display());
    assert!(message(data_dir.path()).starts_with(&expected), "{}", message(data_dir.path()));

    write_archive(data_dir.path(), &files());
    let bytes = fs::read(&archive).unwrap();
    fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    let cut = message(data_dir.path());
    assert!(cut.contains("cannot read") && cut.contains(TINY.archive), "{cut}");
}

/// A tar file of these members: name, size in the header, content.
fn tar(files: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, size, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(*size);
        header.set_mode(0o644);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

#[test]
fn sizes_in_archive_headers_are_not_trusted() {
    let path = Path::new("a.tar.gz");
    let unpack = |bytes: &[u8]| {
        // A gzip stream can be endless.
        let endless = bytes.chain(std::io::repeat(0));
        TINY.unpack(endless, path).map(|_| ()).unwrap_err().to_string()
    };
    let error = unpack(&tar(&[("cifar-100-binary/train.bin", 1 << 40, &[])]));
    assert!(error.starts_with("`a.tar.gz/cifar-100-binary/train.bin` at byte 6148"), "{error}");
    let error = unpack(&tar(&[("other", 1 << 40, &[])]));
    assert!(error.contains("`a.tar.gz`"), "{error}");
    // A member that holds the long name of the next one.
    let mut long_name = tar(&[("././@LongLink", 1 << 40, &[])]);
    long_name[156] = b'L';
    long_name[148..156].fill(b' ');
    let sum: u32 = long_name[..512].iter().map(|&byte| u32::from(byte)).sum();
    long_name[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let error = unpack(&long_name);
    assert!(error.contains("`a.tar.gz`"), "{error}");
}

#[test]
fn members_outside_the_folder_are_ignored() {
    let names = names();
    let size = names.len() as u64;
    for name in ["../cifar-100-binary", "cifar-100-binary/..", "x/cifar-100-binary"] {
        let name = format!("{name}/fine_label_names.txt");
        let mut bytes = tar(&[("a", size, &names)]);
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend([0; 1024]);
        let error = TINY.unpack(&bytes[..], Path::new("a")).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "`a` holds no `cifar-100-binary/fine_label_names.txt`");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damaged_archives_are_rejected(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let (train, names, test) = (records(&[7, 99]), names(), records(&[50]));
        let members = [
            ("cifar-100-binary/train.bin", train),
            ("cifar-100-binary/fine_label_names.txt", names),
            ("cifar-100-binary/test.bin", test),
        ];
        let members = members.each_ref().map(|(name, bytes)| (*name, bytes.len() as u64, &bytes[..]));
        let mut bytes = tar(&members);
        for (at, byte) in damage {
            // Headers only; other tests damage the contents.
            let headers = [0, 512 + 6656, 2 * 512 + 6656 + 1536];
            let at = at.index(3 * 512);
            bytes[headers[at / 512] + at % 512] = byte;
        }
        bytes.truncate(end.index(2 * bytes.len()));
        let path = Path::new("some.tar.gz");
        match TINY.unpack(&bytes[..], path).and_then(|members| TINY.splits(&members)) {
            Ok(splits) => prop_assert_eq!(splits.train.len(), 2),
            Err(error) => prop_assert!(error.to_string().contains("some.tar.gz"), "{}", error),
        }
    }
}

#[test]
fn a_missing_data_set_names_the_fetch_command() {
    let missing = CIFAR100.load(Path::new("no-such-data")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no CIFAR-100 in `no-such-data`: expected the folder `cifar-100-binary` or the file \
         `cifar-100-binary.tar.gz`; fetch it with `cargo xtask data fetch cifar100`"
    );
    let missing = CIFAR10.load(Path::new("no-such-data")).unwrap_err().to_string();
    assert!(missing.contains("`cargo xtask data fetch cifar10`"), "{missing}");
}
