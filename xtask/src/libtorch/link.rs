//! The link `.libtorch` in the clone.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A file that is written when the link changes. Build scripts that look into the folder watch it.
const CHANGED: &str = ".libtorch.changed";

/// Path of the link in a clone.
pub fn path(root: &Path) -> PathBuf {
    root.join(".libtorch")
}

/// Links the clone to a libtorch folder. An existing link is replaced atomically.
///
/// # Errors
/// If the path exists and is no link.
pub fn create(root: &Path, folder: &Path) -> Result<PathBuf> {
    let link = path(root);
    if fs::read_link(&link).is_ok_and(|target| target == folder) {
        return Ok(link);
    }
    let shown = link.display();
    ensure!(
        fs::symlink_metadata(&link).map_or(true, |metadata| metadata.is_symlink()),
        "{shown}: found a file or folder, expected the link that `cargo xtask setup` creates; \
         move it away, or set LIBTORCH to it"
    );
    tempfile::Builder::new()
        .prefix(".libtorch.")
        .make_in(root, |temporary| symlink(folder, temporary))
        .and_then(|temporary| Ok(temporary.into_temp_path().persist(&link)?))
        .with_context(|| format!("cannot link {shown} to {}", folder.display()))?;
    // Newer than what was built with the other libtorch, whose own files may be older.
    let changed = root.join(CHANGED);
    fs::write(&changed, "").with_context(|| changed.display().to_string())?;
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dangling_or_different_link_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("gone"), root.path().join("new"));
        fs::create_dir(&new).unwrap();
        let link = create(root.path(), &old).unwrap();
        assert!(!link.exists());
        for _ in 0..2 {
            assert_eq!(create(root.path(), &new).unwrap(), link);
            assert_eq!(fs::read_link(&link).unwrap(), new);
        }
        assert_eq!(root.path().read_dir().unwrap().count(), 3);
    }

    #[test]
    fn a_folder_of_the_user_is_kept() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(path(root.path())).unwrap();
        let error = create(root.path(), Path::new("/elsewhere")).unwrap_err().to_string();
        assert!(error.contains("folder") && error.contains("move it away"), "{error}");
        assert!(path(root.path()).is_dir());
    }
}
