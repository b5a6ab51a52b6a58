//! Installs and links libtorch. Idempotent and safe to run concurrently.

use super::platform::{Flavour, Platform};
use super::unpack::{DAMAGED, unpack};
use super::{Libtorch, VERSION, download, installed, link};
use anyhow::{Context, Result, ensure};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// Prefix of the folders in which a setup works; one that was killed leaves them behind.
const WORK: &str = "setup-";

/// What pip prints if a download was cut short or has another hash than required.
const BROKEN_DOWNLOAD: [&str; 3] =
    ["DO NOT MATCH THE HASHES", "IncompleteRead", "Connection broken"];

/// Source and destination of libtorch.
#[derive(Debug)]
pub struct Setup {
    /// The clone.
    pub root: PathBuf,
    /// The project's folder in the user's cache.
    pub cache: PathBuf,
    /// The Python whose pip downloads libtorch.
    pub python: PathBuf,
    /// Operating system and architecture, by their names in [`env::consts`].
    pub system: (&'static str, &'static str),
    /// `LIBTORCH`, if the user set it.
    pub user_libtorch: Option<PathBuf>,
    /// Free disk space of a folder, in bytes.
    pub free_bytes: fn(&Path) -> Result<u64>,
}

impl Setup {
    /// Reads the environment variables.
    pub fn from_environment() -> Result<Self> {
        ensure!(
            env::var_os("LIBTORCH_USE_PYTORCH").is_none(),
            "LIBTORCH_USE_PYTORCH is set, which these programs do not support; unset it, and set \
             LIBTORCH to the folder `torch` of that Python to use its libtorch"
        );
        let root = crate::workspace::root();
        Ok(Self {
            cache: cache(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))?,
            python: download::python(),
            system: (env::consts::OS, env::consts::ARCH),
            user_libtorch: user_libtorch(env::var_os("LIBTORCH"), &root),
            free_bytes,
            root,
        })
    }

    /// Platform for which wheels are downloaded.
    pub fn platform(&self) -> Result<Platform> {
        Platform::new(self.system.0, self.system.1)
    }

    /// Returns the user's or the linked libtorch, of either flavour; installs the CPU's if there is
    /// none.
    pub fn ensure(&self) -> Result<Libtorch> {
        if self.user_libtorch.is_none()
            && let Some(libtorch) = self.linked()
        {
            return Ok(libtorch);
        }
        self.setup(Flavour::Cpu)
    }

    /// Installs the flavour if the cache lacks it, and links it.
    pub fn setup(&self, flavour: Flavour) -> Result<Libtorch> {
        if let Some(folder) = &self.user_libtorch {
            return installed::check_user_libtorch(folder);
        }
        let folder = self.cache.join(flavour.folder_name());
        if installed::check_complete(&folder, flavour).is_err() {
            self.install(flavour, &folder)?;
        }
        let link = link::create(&self.root, &folder)?;
        Ok(Libtorch { folder: link, version: flavour.build_version(), set_by_user: false })
    }

    /// The libtorch that the clone's link leads to, if it is in the cache and complete.
    pub fn linked(&self) -> Option<Libtorch> {
        let folder = link::path(&self.root);
        let target = fs::read_link(&folder).ok()?;
        let flavour = Flavour::ALL
            .into_iter()
            .find(|flavour| target == self.cache.join(flavour.folder_name()))?;
        installed::check_complete(&target, flavour).ok()?;
        Some(Libtorch { folder, version: flavour.build_version(), set_by_user: false })
    }

    fn install(&self, flavour: Flavour, folder: &Path) -> Result<()> {
        let platform = self.platform()?;
        let cache = &self.cache;
        fs::create_dir_all(cache)
            .with_context(|| format!("cannot create the cache folder {}", cache.display()))?;
        let _lock = lock(&cache.join("setup.lock"))?;
        if installed::check_complete(folder, flavour).is_ok() {
            return Ok(()); // Another setup installed it meanwhile.
        }
        remove_leftovers(cache);
        let free = (self.free_bytes)(cache)? as f64 / 1e9;
        ensure!(
            free >= flavour.gigabytes() as f64,
            "{}: found {free:.1} GB free, expected {} GB for libtorch; free some, or point \
             XDG_CACHE_HOME to a larger disk",
            cache.display(),
            flavour.gigabytes()
        );
        eprintln!("downloading libtorch {} to {}", flavour.build_version(), folder.display());
        match self.download(platform, flavour, folder) {
            Err(error) if is_broken_download(&error.to_string()) => {
                eprintln!("{error:#}; downloading again");
                self.download(platform, flavour, folder)
            }
            result => result,
        }
    }

    fn download(&self, platform: Platform, flavour: Flavour, folder: &Path) -> Result<()> {
        let work = tempfile::Builder::new().prefix(WORK).tempdir_in(&self.cache)?;
        let (wheels, staged) = (work.path().join("wheels"), work.path().join("libtorch"));
        fs::create_dir(&wheels)?;
        fs::create_dir_all(staged.join("lib"))?;
        let mut left = flavour.gigabytes() * 1_000_000_000;
        for wheel in download::download(&self.python, platform, flavour, &wheels)? {
            unpack(&wheel, platform, flavour, &staged, &mut left)?;
            // Keeping all wheels beside their contents would need twice the disk space.
            fs::remove_file(&wheel)?;
        }
        let library = platform.main_library(flavour);
        ensure!(
            staged.join(library).exists(),
            "the wheels of torch {VERSION} contain no {library}; is PIP_INDEX_URL another index?"
        );
        if let Some(script) = platform.linker_script() {
            fs::write(staged.join("lib/libtorch.so"), script)?;
        }
        fs::write(staged.join("build-version"), flavour.build_version())?;
        // The marker must not reach the disk before the files that it lists.
        rustix::fs::sync();
        installed::write_marker(&staged, flavour)?;
        if fs::symlink_metadata(folder).is_ok() {
            // Incomplete, or nothing would be installed; deleted with the work folder.
            fs::rename(folder, work.path().join("incomplete"))?;
        }
        fs::rename(&staged, folder)?;
        Ok(())
    }
}

fn is_broken_download(error: &str) -> bool {
    error.contains(DAMAGED) || BROKEN_DOWNLOAD.iter().any(|message| error.contains(message))
}

/// `LIBTORCH` if the user set it; `.cargo/config.toml` sets it to the clone's link.
fn user_libtorch(libtorch: Option<OsString>, root: &Path) -> Option<PathBuf> {
    let libtorch = PathBuf::from(libtorch.filter(|value| !value.is_empty())?);
    let parent = libtorch.parent().and_then(|parent| parent.canonicalize().ok());
    let is_link = libtorch.file_name() == link::path(root).file_name()
        && parent.is_some()
        && parent == root.canonicalize().ok();
    (!is_link).then_some(libtorch)
}

fn cache(xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    // The XDG specification ignores relative paths.
    let absolute =
        |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute(xdg).or_else(|| Some(absolute(home)?.join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME is an absolute path; set one")?;
    Ok(cache.join("selfdistill"))
}

/// Waits until no other setup works in the cache. The lock of a killed process is released.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let locked = match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            eprintln!("waiting for another `cargo xtask setup` ({})", path.display());
            file.lock()
        }
        result => result.map_err(Into::into),
    };
    locked.with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn remove_leftovers(cache: &Path) {
    for entry in cache.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORK) && entry.path().is_dir() {
            // A pip that outlived its setup may still write there: the next setup removes it.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Disk space in bytes that the user can still write in a folder.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(folder).with_context(|| folder.display().to_string())?;
    Ok(space.f_bavail * space.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clones_link_is_not_a_libtorch_of_the_user() {
        let root = tempfile::tempdir().unwrap();
        let user = |value: &Path| user_libtorch(Some(value.into()), root.path());
        assert_eq!(user(&root.path().join(".libtorch")), None);
        assert_eq!(user(Path::new("")), None);
        assert_eq!(user_libtorch(None, root.path()), None);
        let other = tempfile::tempdir().unwrap().path().join(".libtorch");
        assert_eq!(user(&other), Some(other.clone()));
        assert_eq!(user(Path::new("/opt/libtorch")), Some("/opt/libtorch".into()));
    }

    #[test]
    fn the_cache_follows_xdg_and_home() {
        let path = |xdg: Option<&str>, home: Option<&str>| {
            cache(xdg.map(Into::into), home.map(Into::into)).ok()
        };
        assert_eq!(path(Some("/c"), Some("/h")), Some("/c/selfdistill".into()));
        assert_eq!(path(Some("c"), Some("/h")), Some("/h/.cache/selfdistill".into()));
        assert_eq!(path(None, None), None);
    }
}
