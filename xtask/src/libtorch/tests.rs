//! Setups with a shell script in place of pip, which copies tiny wheels.

use super::*;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const HEADER: &str = "include/torch/csrc/api/include/torch/torch.h";

/// A user's machine: a clone, a cache and a Python.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// `download` is the shell code of `pip download`: `$dest` is the destination, `$index` the folder
    /// of wheels, `$calls` the number of earlier calls.
    fn new(download: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["clone", "other-clone", "index"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let machine = Self { folder };
        wheel(
            &machine.path("index/torch.whl"),
            &[
                ("torch/lib/libtorch_cpu.so", "the CPU part"),
                ("torch/lib/libc10.so", "the core"),
                ("torch/lib/libtorch.so", "depends on CUDA"),
                ("torch/lib/libtorch_cuda.so", "the CUDA part"),
                ("torch/lib/../../../escaped.so", "no"),
                (&format!("torch/{HEADER}"), ""),
            ],
        );
        wheel(&machine.path("index/cupti.whl"), &[("nvidia/cu13/lib/libcupti.so.13", "c")]);
        wheel(&machine.path("index/runtime.whl"), &[("nvidia/cu13/lib/libcudart.so.13", "r")]);
        let script = format!(
            "#!/bin/sh
             for dest; do [ \"$last\" = --dest ] && break; last=$dest; done
             calls=$(cat {root}/calls 2>/dev/null | wc -l); echo download >> {root}/calls
             index={root}/index
             for tag in --require-hashes --no-deps manylinux_2_28_x86_64; do
                 case \"$*\" in *$tag*) ;; *) echo \"no $tag\" >&2; exit 2 ;; esac
             done
             # In its own folder, which has no module pip.
             [ \"$PWD\" = \"$dest\" ] && [ \"$(ls)\" = requirements.txt ] || exit 3
             grep -q '^torch==2.11.0 ' requirements.txt || exit 4
             {download}",
            root = machine.folder.path().display(),
        );
        fs::write(machine.path("python"), script).unwrap();
        fs::set_permissions(machine.path("python"), fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn setup(&self, clone: &str) -> Setup {
        Setup {
            root: self.path(clone),
            cache: self.path("cache/selfdistill"),
            python: self.path("python"),
            system: ("linux", "x86_64"),
            user_libtorch: None,
            free_bytes: |_| Ok(1 << 40),
        }
    }

    fn downloads(&self) -> usize {
        fs::read_to_string(self.path("calls")).map_or(0, |calls| calls.lines().count())
    }

    /// File names in the cache, without the lock.
    fn cached(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .path("cache/selfdistill")
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "setup.lock")
            .collect();
        names.sort();
        names
    }
}

fn wheel(path: &Path, files: &[(&str, &str)]) {
    let mut wheel = ZipWriter::new(File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, text) in files {
        wheel.start_file(*name, stored).unwrap();
        wheel.write_all(text.as_bytes()).unwrap();
    }
    wheel.finish().unwrap();
}

const CPU: &str = "libtorch-2.11.0-cpu";

#[test]
fn libtorch_is_downloaded_once_and_linked_into_each_clone() {
    let machine = Machine::new("cp $index/*.whl \"$dest\"");
    let libtorch = machine.setup("clone").ensure().unwrap();
    assert_eq!(libtorch.folder, machine.path("clone/.libtorch"));
    let read = |file: &str| fs::read_to_string(libtorch.folder.join(file)).unwrap();
    assert_eq!(read("lib/libtorch_cpu.so"), "the CPU part");
    assert_eq!(read("lib/libtorch.so"), "INPUT(libtorch_cpu.so libc10.so)\n");
    assert_eq!(read("build-version"), "2.11.0+cpu");
    assert!(!libtorch.folder.join("lib/libtorch_cuda.so").exists());
    assert!(!machine.path("cache/escaped.so").exists());
    assert_eq!(machine.cached(), [CPU]);

    machine.setup("clone").setup(Flavour::Cpu).unwrap();
    machine.setup("other-clone").ensure().unwrap();
    assert!(machine.path("other-clone/.libtorch/lib/libc10.so").exists());
    assert_eq!(machine.downloads(), 1);
}

#[test]
fn a_linked_cuda_flavour_stays_until_the_cpu_flavour_is_requested() {
    let machine = Machine::new(
        "cp $index/*.whl \"$dest\"; ! grep -q cublas requirements.txt || cp $index/cuda/*.whl \"$dest\"",
    );
    fs::create_dir(machine.path("index/cuda")).unwrap();
    wheel(&machine.path("index/cuda/c10.whl"), &[("torch/lib/libc10_cuda.so", "")]);
    machine.setup("clone").setup(Flavour::Cuda).unwrap();
    let libtorch = machine.setup("clone").ensure().unwrap();
    assert_eq!(libtorch.version, "2.11.0+cu130");
    assert!(libtorch.folder.join("lib/libtorch_cuda.so").exists());
    assert_eq!(machine.downloads(), 1);
    assert_eq!(machine.setup("clone").setup(Flavour::Cpu).unwrap().version, "2.11.0+cpu");
    assert!(!libtorch.folder.join("lib/libtorch_cuda.so").exists());
}

#[test]
fn a_damaged_wheel_is_downloaded_again() {
    let truncated = "cp $index/*.whl \"$dest\"
         [ $calls = 0 ] && head -c 100 $index/torch.whl > \"$dest/torch.whl\"; true";
    let flipped = "cp $index/*.whl \"$dest\"
         [ $calls = 0 ] && sed 's/the CPU part/the CPV part/' $index/torch.whl > \"$dest/torch.whl\"; true";
    for download in [truncated, flipped] {
        let machine = Machine::new(download);
        let libtorch = machine.setup("clone").ensure().unwrap();
        let library = fs::read_to_string(libtorch.folder.join("lib/libtorch_cpu.so")).unwrap();
        assert_eq!(library, "the CPU part");
        assert_eq!(machine.downloads(), 2);
        assert_eq!(machine.cached(), [CPU]);
    }
}

#[test]
fn a_second_damaged_wheel_is_an_error_and_leaves_no_files() {
    let machine = Machine::new("head -c 100 $index/torch.whl > \"$dest/torch.whl\"");
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("torch.whl arrived damaged"), "{error}");
    assert_eq!(machine.downloads(), 2);
    assert!(machine.cached().is_empty());
    assert!(fs::symlink_metadata(machine.path("clone/.libtorch")).is_err());
}

#[test]
fn an_incomplete_folder_is_replaced() {
    let machine = Machine::new("cp $index/*.whl \"$dest\"");
    // Left by a killed setup: its work folder, and a folder without files.
    fs::create_dir_all(machine.path("cache/selfdistill/setup-killed/wheels")).unwrap();
    fs::create_dir_all(machine.path("cache/selfdistill").join(CPU).join("lib")).unwrap();
    let libtorch = machine.setup("clone").ensure().unwrap();
    assert_eq!(machine.cached(), [CPU]);
    let check = || installed::check_complete(&libtorch.folder, Flavour::Cpu).unwrap_err();
    let (library, header) =
        (libtorch.folder.join("lib/libtorch_cpu.so"), libtorch.folder.join(HEADER));
    fs::write(&library, "the").unwrap();
    assert!(check().to_string().contains("found 3 bytes, expected 12"));
    machine.setup("clone").ensure().unwrap();
    assert_eq!(fs::read_to_string(&library).unwrap(), "the CPU part");
    fs::remove_file(&header).unwrap();
    assert!(check().to_string().contains("torch.h"));
    machine.setup("clone").ensure().unwrap();
    assert!(header.exists());
    assert!(installed::check_complete(&libtorch.folder, Flavour::Cuda).is_err());
    assert_eq!(machine.downloads(), 3);
}

#[test]
fn concurrent_setups_download_once() {
    let machine = Machine::new("sleep 0.2; cp $index/*.whl \"$dest\"");
    std::thread::scope(|scope| {
        for clone in ["clone", "other-clone", "clone"] {
            let setup = machine.setup(clone);
            scope.spawn(move || setup.setup(Flavour::Cpu).unwrap());
        }
    });
    assert_eq!(machine.downloads(), 1);
    assert!(machine.path("clone/.libtorch/build-version").exists());
    assert!(machine.path("other-clone/.libtorch/build-version").exists());
}

#[test]
fn wheels_without_libtorch_are_an_error() {
    let machine = Machine::new("cp $index/cupti.whl \"$dest\"");
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("contain no lib/libtorch_cpu.so"), "{error}");
}

#[test]
fn a_libtorch_of_the_user_takes_precedence() {
    let machine = Machine::new("cp $index/*.whl \"$dest\"");
    machine.setup("clone").ensure().unwrap();
    let own = machine.path("cache/selfdistill").join(CPU);
    let setup = Setup { user_libtorch: Some(own.clone()), ..machine.setup("other-clone") };
    for libtorch in [setup.ensure().unwrap(), setup.setup(Flavour::Cpu).unwrap()] {
        assert_eq!((libtorch.folder, libtorch.set_by_user), (own.clone(), true));
    }
    assert!(fs::symlink_metadata(machine.path("other-clone/.libtorch")).is_err());
}

#[test]
fn preconditions_are_checked_before_the_download() {
    let machine = Machine::new("cp $index/*.whl \"$dest\"");
    let full = Setup { free_bytes: |_| Ok(1 << 20), ..machine.setup("clone") };
    let error = full.ensure().unwrap_err().to_string();
    assert!(error.contains("GB free") && error.contains("XDG_CACHE_HOME"), "{error}");
    let unsupported = Setup { system: ("linux", "s390x"), ..machine.setup("clone") };
    let error = unsupported.ensure().unwrap_err().to_string();
    assert!(error.contains("found linux on s390x"), "{error}");
    assert_eq!(machine.downloads(), 0);
    fs::remove_file(machine.path("python")).unwrap();
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("cannot start `") && error.contains("python3-pip"), "{error}");
}

#[test]
fn a_failed_download_shows_the_messages_of_pip_and_advice() {
    for (message, advice) in [
        ("ERROR: No matching distribution found", "PIP_INDEX_URL"),
        ("No module named pip", "python3-pip"),
        ("OSError: [Errno 28] No space left on device", "free some disk"),
    ] {
        let machine = Machine::new(&format!("echo '{message}' >&2; exit 1"));
        let error = machine.setup("clone").ensure().unwrap_err().to_string();
        assert!(error.contains(message) && error.contains(advice), "{error}");
        assert!(error.contains("LIBTORCH"), "{error}");
        assert_eq!(machine.downloads(), 1);
    }
}
