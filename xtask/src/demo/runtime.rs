//! ONNX Runtime for browsers, from npm.

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use tar::Archive;

/// Package of npm, with the MIT licence.
const PACKAGE: &str = "onnxruntime-web@1.30.0";
const FILE: &str = "onnxruntime-web-1.30.0.tgz";
/// SHA-512 of the package file, which npm publishes as its integrity.
const SHA512: &str = "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61";

/// Files of the package that a page needs.
#[derive(Debug)]
pub struct Runtime {
    /// JavaScript module.
    pub module: Vec<u8>,
    /// WebAssembly that the module loads.
    pub wasm: Vec<u8>,
}

/// Loads the runtime from the package in the user's cache; npm downloads it if missing.
pub fn load(cache: &Path) -> Result<Runtime> {
    let path = cache.join(FILE);
    let package = match fs::read(&path) {
        Ok(package) => package,
        Err(error) if error.kind() == ErrorKind::NotFound => download(cache)?,
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let found = hexadecimal(&Sha512::digest(&package));
    ensure!(
        found == SHA512,
        "{} is not the published {PACKAGE}: its SHA-512 is {found}; remove the file to download it again",
        path.display()
    );
    unpack(&package)
}

/// Downloads the package with npm; a partial download never enters the cache.
fn download(cache: &Path) -> Result<Vec<u8>> {
    fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    let folder = tempfile::tempdir_in(cache)?;
    eprintln!("downloading {PACKAGE} from npm: 33 MB");
    let mut npm = Command::new("npm");
    npm.args(["pack", PACKAGE, "--silent", "--pack-destination"]).arg(folder.path());
    match npm.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) => ensure!(status.success(), "`npm pack {PACKAGE}` failed ({status})"),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "found no `npm`, which downloads ONNX Runtime for browsers; install it, on Debian and Ubuntu with `apt-get install npm`"
        ),
        Err(error) => return Err(error).context("cannot start npm"),
    }
    let package = fs::read(folder.path().join(FILE)).context("npm wrote no package file")?;
    fs::rename(folder.path().join(FILE), cache.join(FILE))?;
    Ok(package)
}

fn unpack(package: &[u8]) -> Result<Runtime> {
    let [mut module, mut wasm] = [None, None];
    for entry in Archive::new(GzDecoder::new(package)).entries()? {
        let mut entry = entry?;
        let file = match entry.path()?.to_str() {
            Some("package/dist/ort.wasm.bundle.min.mjs") => &mut module,
            Some("package/dist/ort-wasm-simd-threaded.wasm") => &mut wasm,
            _ => continue,
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        *file = Some(bytes);
    }
    let missing = || format!("{FILE} lacks a file of the runtime");
    Ok(Runtime { module: module.with_context(missing)?, wasm: wasm.with_context(missing)? })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_different_file_in_the_cache_is_an_error() {
        let cache = tempfile::tempdir().unwrap();
        fs::write(cache.path().join(FILE), "a half").unwrap();
        let error = load(cache.path()).unwrap_err().to_string();
        assert!(error.contains("is not the published onnxruntime-web"), "{error}");
    }

    #[test]
    fn the_files_of_the_package_are_unpacked() {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for name in ["ort.js", "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(name.len() as u64);
            let path = format!("package/dist/{name}");
            archive.append_data(&mut header, path, name.as_bytes()).unwrap();
        }
        let runtime = unpack(&archive.into_inner().unwrap().finish().unwrap()).unwrap();
        assert_eq!(runtime.module, b"ort.wasm.bundle.min.mjs");
        assert_eq!(runtime.wasm, b"ort-wasm-simd-threaded.wasm");
    }
}
