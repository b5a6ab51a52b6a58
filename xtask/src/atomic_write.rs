//! Atomic writes: a file is either complete or unchanged.

use anyhow::{Context, Result};
use atomic_write_file::AtomicWriteFile;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Writes a file atomically; creates its folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(bytes)?;
        // If the sync within `commit` failed, the temporary file would stay.
        file.sync_all()?;
        file.commit()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_written_file_has_the_usual_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("new/page"), folder.path().join("other"));
        write(&path, b"text").unwrap();
        fs::write(&other, "text").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&other));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
