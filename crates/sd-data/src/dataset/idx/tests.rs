use super::*;
use proptest::prelude::*;

/// Three images of 1×2.
fn images() -> Vec<u8> {
    vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 10, 11, 20, 21, 30, 31]
}

fn read(bytes: &[u8]) -> Result<(usize, Vec<u8>)> {
    parse(bytes, Path::new("images"), IMAGES, &[1, 2])
}

#[test]
fn reads_images_and_labels() {
    assert_eq!(read(&images()).unwrap(), (3, vec![10, 11, 20, 21, 30, 31]));
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 5, 6];
    assert_eq!(parse(&labels[..], Path::new("l"), LABELS, &[]).unwrap(), (2, vec![5, 6]));
}

#[test]
fn malformed_files_are_rejected() {
    let message = |change: fn(&mut Vec<u8>)| {
        let mut bytes = images();
        change(&mut bytes);
        read(&bytes).unwrap_err().to_string()
    };
    assert_eq!(
        message(|bytes| bytes[3] = 1),
        "`images` at byte 0: found the magic number 0x00000801, \
         expected 0x00000803, images of one byte"
    );
    assert_eq!(
        message(|bytes| bytes.truncate(13)),
        "`images` at byte 13: found the end of the file, expected a header of 16 bytes"
    );
    assert_eq!(
        message(|bytes| bytes[15] = 3),
        "`images` at byte 12: found images of width 3, \
         expected 2, the width in the configuration"
    );
    assert_eq!(
        message(|bytes| bytes.truncate(20)),
        "`images` at byte 20: found the end of the file, \
         expected 3 items of 2 bytes after a header of 16"
    );
    assert_eq!(
        message(|bytes| bytes.push(0)),
        "`images` at byte 22: found more bytes, \
         expected 3 items of 2 bytes after a header of 16"
    );
}

#[test]
fn a_huge_count_allocates_nothing() {
    let mut bytes = images();
    bytes[4..8].fill(0xff);
    assert!(read(&bytes).unwrap_err().to_string().contains("4294967295 items"));
}

/// A gzip stream can be endless: the header alone must suffice to reject it.
#[test]
fn excessive_sizes_are_rejected_before_reading() {
    let side = 1 << 20;
    let header = [IMAGES, 1, side, side].map(u32::to_be_bytes).concat();
    let endless = header.chain(std::io::repeat(0));
    let sides = [side as usize; 2];
    let error = parse(endless, Path::new("images.gz"), IMAGES, &sides).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`images.gz` at byte 4: found 1 items of 1099511627776 bytes, \
         expected at most 2147483648 bytes"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&bytes);
    }

    #[test]
    fn arbitrary_bytes_after_a_good_header_are_counted(
        bytes in prop::collection::vec(any::<u8>(), 0..16),
    ) {
        let file = [&images()[..16], &bytes].concat();
        prop_assert_eq!(read(&file).is_ok(), bytes.len() == 6);
    }

    #[test]
    fn arbitrary_gzip_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let file = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &bytes].concat();
        let _ = parse(GzDecoder::new(&file[..]), Path::new("a.gz"), IMAGES, &[1, 2]);
    }
}
