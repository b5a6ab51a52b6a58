//! `.libtorch` in the clone.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The link in a clone.
pub fn link_of(root: &Path) -> PathBuf {
    root.join(".libtorch")
}

/// Makes the clone's link point to the folder; who looks meanwhile finds the old or the new one.
pub fn point(root: &Path, folder: &Path) -> Result<PathBuf> {
    let link = link_of(root);
    match fs::symlink_metadata(&link) {
        Ok(metadata) if !metadata.is_symlink() => bail!(
            "{}: found a {}, expected the link that `cargo xtask setup` makes; move it away, \
             or set LIBTORCH to it",
            link.display(),
            if metadata.is_dir() { "folder" } else { "file" },
        ),
        Ok(_) if fs::read_link(&link)? == folder => return Ok(link),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| link.display().to_string()),
    }
    let made = tempfile::Builder::new()
        .prefix(".libtorch.")
        .make_in(root, |fresh| symlink(folder, fresh))
        .and_then(|fresh| Ok(fresh.into_temp_path().persist(&link)?));
    made.with_context(|| format!("cannot link {} to {}", link.display(), folder.display()))?;
    Ok(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_dangles_or_points_elsewhere_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("gone"), root.path().join("new"));
        fs::create_dir(&new).unwrap();
        let link = point(root.path(), &old).unwrap();
        assert!(!link.exists());
        for _ in 0..2 {
            assert_eq!(point(root.path(), &new).unwrap(), link);
            assert_eq!(fs::read_link(&link).unwrap(), new);
        }
        assert_eq!(root.path().read_dir().unwrap().count(), 2);
    }

    #[test]
    fn what_the_user_put_there_stays() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(link_of(root.path())).unwrap();
        let error = point(root.path(), Path::new("/elsewhere")).unwrap_err().to_string();
        assert!(error.contains("found a folder") && error.contains("move it away"), "{error}");
        assert!(link_of(root.path()).is_dir());
    }
}
