//! Untrusted safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use proptest::prelude::*;
use sd_models::{Result, TensorFile};
use tch::{Kind, Tensor};

/// A file of two tensors with a checksum.
fn file() -> Vec<u8> {
    let tensors = BTreeMap::from([
        (
            "a.weight".to_owned(),
            Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]),
        ),
        ("count".to_owned(), Tensor::from(7i64)),
    ]);
    let metadata = HashMap::from([("experiment".to_owned(), "name = 'a'".to_owned())]);
    TensorFile { tensors, metadata }.to_bytes().unwrap()
}

/// A file with this header and data.
fn of(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn read(bytes: &[u8]) -> Result<TensorFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let read = TensorFile::read(&path);
    if let Err(error) = &read {
        assert!(error.to_string().contains("some.safetensors"), "{error}");
    }
    read
}

#[test]
fn lengths_in_a_header_are_checked_against_the_file() {
    let tensor = |kind: &str, shape: &str, end: u64| {
        let header =
            format!(r#"{{"a":{{"dtype":"{kind}","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        read(&of(&header, &[0; 8])).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(tensor("F32", "[2]", 8), Ok(()));
    // 2^40 elements, with and without a matching length; a product that overflows; a side that
    // libtorch would read as negative.
    for (shape, end) in [
        ("[1099511627776]", 8),
        ("[1099511627776]", 1 << 42),
        ("[4294967296,4294967296,4294967296]", 8),
        ("[0,18446744073709551615]", 0),
    ] {
        assert!(tensor("F32", shape, end).is_err(), "{shape}");
    }
    let half = tensor("F16", "[4]", 8).unwrap_err();
    assert!(half.contains("a has type F16, expected F32 or I64"), "{half}");
    // A header longer than the file.
    for length in [u64::MAX, 1 << 40, 1 << 20] {
        assert!(read(&length.to_le_bytes()).is_err());
    }
    assert!(TensorFile::read(Path::new("nowhere")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn arbitrary_bytes_never_panic(header in ".{0,60}", data: Vec<u8>) {
        let _ = read(&data);
        let _ = read(&of(&header, &data));
    }

    /// The checksum detects any changed byte, except in its own key: without a checksum, a file is
    /// accepted as it is.
    #[test]
    fn damage_is_detected(at: prop::sample::Index, to: u8, end in any::<prop::sample::Index>()) {
        let whole = file();
        let mut bytes = whole.clone();
        *at.get_mut(&mut bytes) = to;
        let changed = bytes != whole;
        if let Ok(read) = read(&bytes) {
            let unchecked = !bytes.windows(8).any(|text| text == b"checksum");
            let same = read.to_bytes().unwrap() == whole;
            prop_assert!(!changed || unchecked || same, "byte {} became {to}", at.index(whole.len()));
        }
        let cut = &whole[..end.index(whole.len())];
        prop_assert!(read(cut).is_err());
    }

    /// Headers with valid syntax and arbitrary contents.
    #[test]
    fn arbitrary_headers_never_panic(
        kind in prop::sample::select(vec!["F32", "I64", "BOOL", "BF16", "F8_E5M2", "X"]),
        shape in prop::collection::vec(prop_oneof![0u64..4, any::<u64>()], 0..5),
        offsets in [prop_oneof![0u64..40, any::<u64>()], prop_oneof![0u64..40, any::<u64>()]],
        data in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let header = format!(
            r#"{{"a":{{"dtype":"{kind}","shape":{shape:?},"data_offsets":{offsets:?}}}}}"#
        );
        if let Ok(read) = read(&of(&header, &data)) {
            let held = read.tensors["a"].numel() * if read.tensors["a"].kind() == Kind::Int64 { 8 } else { 4 };
            prop_assert!(held <= data.len());
        }
    }
}
