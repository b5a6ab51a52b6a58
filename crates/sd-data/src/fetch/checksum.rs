//! Verification of files by their published checksums.

use super::RemoteFile;
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

impl RemoteFile {
    /// `None` if the file at `path` is correct, else the checksums found and expected.
    pub(super) fn difference(&self, path: &Path) -> Result<Option<(String, String)>> {
        let open = || File::open(path).map(BufReader::new).map_err(Error::read(path));
        let md5 = sum::<Md5>(open()?).map_err(Error::read(path))?;
        if md5 == self.md5 {
            return Ok(None);
        }
        let (mut found, mut expected) = (format!("the md5 {md5}"), self.md5.clone());
        if let Some(content) = &self.content_sha256 {
            match sum::<Sha256>(MultiGzDecoder::new(open()?)) {
                Ok(sum) if sum == *content => return Ok(None),
                Ok(sum) => found += &format!(" (unpacked: the sha256 {sum})"),
                Err(_) => found += " (and cannot be unpacked)",
            }
            expected += &format!(" (unpacked: {content})");
        }
        Ok(Some((found, expected)))
    }
}

fn sum<D: Digest>(mut reader: impl Read) -> std::io::Result<String> {
    let mut digest = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1321, appendix A.5; FIPS 180-2, appendix B.1.
    #[test]
    fn known_checksums() {
        assert_eq!(sum::<Md5>(&b"abc"[..]).unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            sum::<Sha256>(&b"abc"[..]).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
