//! From nothing to a linked libtorch, whatever was there and whoever else is at it.

use super::platform::{Flavour, Platform};
use super::{Libtorch, VERSION, download, installed, link, unpack};
use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use rustix::fs::FlockOperation;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Folders that a setup works in begin so; one that was killed leaves them.
const WORK: &str = "setup-";

/// Where libtorch comes from and goes to.
#[derive(Debug)]
pub struct Setup {
    /// The clone.
    pub root: PathBuf,
    /// Our folder in the user's cache.
    pub cache: PathBuf,
    /// The Python whose pip fetches.
    pub python: PathBuf,
    /// Whose wheels.
    pub platform: Result<Platform>,
    /// `LIBTORCH`, where the user set it.
    pub of_user: Option<PathBuf>,
    /// Bytes that can still be written to a folder.
    pub free_bytes: fn(&Path) -> Result<u64>,
}

impl Setup {
    /// As the environment says.
    pub fn from_environment() -> Result<Self> {
        ensure!(
            env::var_os("LIBTORCH_USE_PYTORCH").is_none(),
            "LIBTORCH_USE_PYTORCH is set, which our programs do not run with; unset it, and set \
             LIBTORCH to the folder `torch` of that Python, should you want its libtorch"
        );
        let root = crate::workspace::root();
        let of_user = of_user(env::var_os("LIBTORCH"), &root);
        Ok(Self {
            cache: cache(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))?,
            python: download::python(),
            platform: Platform::of(env::consts::OS, env::consts::ARCH),
            of_user,
            free_bytes,
            root,
        })
    }

    /// The libtorch that is set or linked, of either flavour; where there is none, the CPU's.
    pub fn ensure(&self) -> Result<Libtorch> {
        if let Some(folder) = &self.of_user {
            return installed::check_of_user(folder);
        }
        match self.linked() {
            Some(libtorch) => Ok(libtorch),
            None => self.setup(Flavour::Cpu),
        }
    }

    /// Fetches the flavour where it is not in the cache, and links it.
    pub fn setup(&self, flavour: Flavour) -> Result<Libtorch> {
        if let Some(folder) = &self.of_user {
            return installed::check_of_user(folder);
        }
        let folder = self.cache.join(flavour.folder_name());
        if installed::check_whole(&folder, flavour).is_err() {
            self.install(flavour, &folder)?;
        }
        let link = link::point(&self.root, &folder)?;
        Ok(Libtorch { folder: link, version: flavour.build_version(), of_user: false })
    }

    /// The libtorch that the clone's link leads to, if it is ours and whole.
    pub fn linked(&self) -> Option<Libtorch> {
        let link = link::link_of(&self.root);
        let target = fs::read_link(&link).ok()?;
        let flavour = [Flavour::Cpu, Flavour::Cuda]
            .into_iter()
            .find(|flavour| target == self.cache.join(flavour.folder_name()))?;
        installed::check_whole(&target, flavour).ok()?;
        Some(Libtorch { folder: link, version: flavour.build_version(), of_user: false })
    }

    fn install(&self, flavour: Flavour, folder: &Path) -> Result<()> {
        let platform = self.platform.as_ref().map_err(|error| anyhow!("{error}"))?;
        let cache = &self.cache;
        fs::create_dir_all(cache)
            .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
        let _lock = lock(&cache.join("setup.lock"))?;
        // Another setup may have been quicker.
        if installed::check_whole(folder, flavour).is_ok() {
            return Ok(());
        }
        remove_leftovers(cache);
        check_space(cache, (self.free_bytes)(cache)?, flavour.bytes_needed())?;
        eprintln!("fetching libtorch {} into {}", flavour.build_version(), folder.display());
        match self.attempt(*platform, flavour, folder) {
            Err(Failure::Damaged(error)) => {
                eprintln!("{error}; fetching it once more");
                self.attempt(*platform, flavour, folder).map_err(Failure::into_error)
            }
            attempt => attempt.map_err(Failure::into_error),
        }
    }

    fn attempt(&self, platform: Platform, flavour: Flavour, folder: &Path) -> Result<(), Failure> {
        let work = tempfile::Builder::new().prefix(WORK).tempdir_in(&self.cache)?;
        let (wheels, staged) = (work.path().join("wheels"), work.path().join("libtorch"));
        fs::create_dir(&wheels)?;
        fs::create_dir_all(staged.join("lib"))?;
        for wheel in download::download(&self.python, platform, flavour, &wheels)? {
            unpack::unpack(&wheel, platform, flavour, &staged)?;
            // Wheel and contents together would double what the disk has to hold.
            fs::remove_file(&wheel)?;
        }
        check_unpacked(platform, flavour, &staged)?;
        if let Some(script) = platform.linker_script() {
            fs::write(staged.join("lib/libtorch.so"), script)?;
        }
        fs::write(staged.join("build-version"), flavour.build_version())?;
        sync_all(&staged)?;
        installed::write_marker(&staged, flavour)?;
        File::open(&staged)?.sync_all()?;
        if fs::symlink_metadata(folder).is_ok() {
            // Not whole, or this would not run: out of the way, and away with the work folder.
            fs::rename(folder, work.path().join("broken"))?;
        }
        fs::rename(&staged, folder)?;
        File::open(&self.cache)?.sync_all()?;
        Ok(())
    }
}

/// Why an attempt failed, and whether another makes sense.
enum Failure {
    Damaged(Error),
    Other(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Damaged(error) | Self::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // What pip says when a download broke off or is not what the index promised.
        let text = error.to_string();
        let broken = ["DO NOT MATCH THE HASHES", "IncompleteRead", "Connection broken"];
        if broken.iter().any(|said| text.contains(said)) {
            Self::Damaged(error)
        } else {
            Self::Other(error)
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<unpack::Error> for Failure {
    fn from(error: unpack::Error) -> Self {
        match error {
            unpack::Error::Damaged(wheel, said) => {
                let name = wheel.file_name().unwrap_or_default().display().to_string();
                Self::Damaged(anyhow!("{name} arrived damaged ({said})"))
            }
            unpack::Error::Write(path, error) => {
                Self::Other(Error::new(error).context(format!("cannot write {}", path.display())))
            }
        }
    }
}

fn check_unpacked(platform: Platform, flavour: Flavour, staged: &Path) -> Result<()> {
    for file in platform.essential(flavour) {
        ensure!(
            staged.join(file).exists(),
            "the wheels hold no {file}, which libtorch {VERSION} has; was another index asked?"
        );
    }
    let version = installed::find_version(staged);
    if version.as_deref() != Some(VERSION) {
        let found = version.unwrap_or_else(|| "no version".to_owned());
        bail!("the wheels: found {found} in include/torch, expected {VERSION}");
    }
    Ok(())
}

/// `LIBTORCH` if it is the user's: cargo's `[env]` sets it to the clone's link for us too.
fn of_user(libtorch: Option<OsString>, root: &Path) -> Option<PathBuf> {
    let libtorch = PathBuf::from(libtorch.filter(|value| !value.is_empty())?);
    let same_folder = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    let ours = libtorch.file_name() == link::link_of(root).file_name()
        && libtorch.parent().is_some_and(|folder| same_folder(folder, root));
    (!ours).then_some(libtorch)
}

fn cache(xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    // A relative XDG_CACHE_HOME is to be ignored, says its specification.
    let xdg = xdg.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = home.map(PathBuf::from).filter(|path| path.is_absolute());
    let user = xdg
        .or_else(|| home.map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is an absolute path; set one of them")?;
    Ok(user.join("selfdistill"))
}

/// Waits until no other setup works in the cache. The system frees the lock of one that dies.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        eprintln!("waiting for another `cargo xtask setup` ({})", path.display());
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

fn remove_leftovers(cache: &Path) {
    for entry in cache.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORK) && entry.path().is_dir() {
            // A pip that outlived its setup may still write there: then it stays until next time.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Bytes that the user can still write where the folder is.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(folder).with_context(|| folder.display().to_string())?;
    Ok(space.f_bavail * space.f_frsize)
}

fn check_space(cache: &Path, free: u64, needed: u64) -> Result<()> {
    ensure!(
        free >= needed,
        "{}: found {:.1} GB free, expected {:.0} GB for libtorch; free some, or point \
         XDG_CACHE_HOME to a larger disk",
        cache.display(),
        free as f64 / 1e9,
        needed as f64 / 1e9
    );
    Ok(())
}

/// Ten thousand headers are too many to sync one by one.
fn sync_all(folder: &Path) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(folder)?).with_context(|| folder.display().to_string())?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        rustix::fs::sync();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_set_is_not_the_users() {
        let root = tempfile::tempdir().unwrap();
        let user = |value: &Path| of_user(Some(value.into()), root.path());
        assert_eq!(user(&root.path().join(".libtorch")), None);
        assert_eq!(user(Path::new("")), None);
        assert_eq!(of_user(None, root.path()), None);
        let other = tempfile::tempdir().unwrap().path().join(".libtorch");
        assert_eq!(user(&other), Some(other.clone()));
        assert_eq!(user(Path::new("/opt/libtorch")), Some("/opt/libtorch".into()));
    }

    #[test]
    fn the_cache_is_the_users() {
        let path = |xdg: Option<&str>, home: Option<&str>| {
            cache(xdg.map(Into::into), home.map(Into::into)).ok()
        };
        assert_eq!(path(Some("/c"), Some("/h")), Some("/c/selfdistill".into()));
        assert_eq!(path(Some("c"), Some("/h")), Some("/h/.cache/selfdistill".into()));
        assert_eq!(path(None, None), None);
    }
}
