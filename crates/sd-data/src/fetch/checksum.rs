//! Verification of files by their published checksums.

use super::RemoteFile;
use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

impl RemoteFile {
    /// `None` if the file at `path` is correct, else the checksums found and expected.
    pub(super) fn difference(&self, path: &Path) -> Result<Option<(String, String)>> {
        let open = || File::open(path).map(BufReader::new).map_err(Error::read(path));
        let sha256 = sum(open()?).map_err(Error::read(path))?;
        if sha256 == self.sha256 {
            return Ok(None);
        }
        let (mut found, mut expected) = (format!("the sha256 {sha256}"), self.sha256.clone());
        if let Some(content) = &self.content_sha256 {
            // Kilobytes of gzip can expand to gigabytes.
            match sum(MultiGzDecoder::new(open()?).take(self.max_bytes.saturating_add(1))) {
                Ok(sum) if sum == *content => return Ok(None),
                Ok(sum) => found += &format!(" (unpacked: {sum})"),
                Err(_) => found += " (and cannot be unpacked)",
            }
            expected += &format!(" (unpacked: {content})");
        }
        Ok(Some((found, expected)))
    }
}

fn sum(mut reader: impl Read) -> std::io::Result<String> {
    let mut digest = Sha256::new();
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

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn a_known_checksum() {
        assert_eq!(
            sum(&b"abc"[..]).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
