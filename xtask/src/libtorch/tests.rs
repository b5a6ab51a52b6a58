//! The whole way with a pip of our own: a shell script that hands out tiny wheels.

use super::*;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const VERSION_H: &str = "#define TORCH_VERSION \\\n  \"2.11.0\"\n";

/// A user's machine: a clone, a cache and a Python.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// `download` is what pip does when asked for wheels: `$dest` is where to, `$shelf` what there is,
    /// `$calls` how often it was asked before.
    fn new(download: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["clone", "other-clone", "shelf"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let machine = Self { folder };
        wheel(
            &machine.path("shelf/torch.whl"),
            &[
                ("torch/lib/libtorch_cpu.so", "the CPU part"),
                ("torch/lib/libc10.so", "the core"),
                ("torch/lib/libtorch.so", "the one that drags CUDA in"),
                ("torch/lib/libtorch_cuda.so", "the CUDA part"),
                ("torch/lib/../../../escaped.so", "no"),
                ("torch/include/torch/csrc/api/include/torch/torch.h", ""),
                ("torch/include/torch/headeronly/version.h", VERSION_H),
            ],
        );
        wheel(&machine.path("shelf/cupti.whl"), &[("nvidia/cu13/lib/libcupti.so.13", "c")]);
        wheel(&machine.path("shelf/runtime.whl"), &[("nvidia/cu13/lib/libcudart.so.13", "r")]);
        machine.python(&format!(
            "for dest; do [ \"$last\" = --dest ] && break; last=$dest; done
             calls=$(cat {root}/calls 2>/dev/null | wc -l); echo download >> {root}/calls
             shelf={root}/shelf
             {download}",
            root = machine.folder.path().display(),
        ));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn python(&self, download: &str) {
        let script = format!("#!/bin/sh\n[ \"$3\" = --version ] && exit 0\n{download}\n");
        fs::write(self.path("python"), script).unwrap();
        fs::set_permissions(self.path("python"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn setup(&self, clone: &str) -> Setup {
        Setup {
            root: self.path(clone),
            cache: self.path("cache/selfdistill"),
            python: self.path("python"),
            platform: Platform::of("linux", "x86_64"),
            of_user: None,
            free_bytes: |_| Ok(1 << 40),
        }
    }

    fn downloads(&self) -> usize {
        fs::read_to_string(self.path("calls")).map_or(0, |calls| calls.lines().count())
    }

    /// What the cache holds beside the lock.
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
fn from_nothing_to_a_link_and_once_for_all_clones() {
    let machine = Machine::new("cp $shelf/*.whl \"$dest\"");
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
fn a_linked_cuda_is_kept_until_the_cpu_is_asked_for() {
    let machine = Machine::new(
        "cp $shelf/*.whl \"$dest\"; case \"$*\" in *--no-deps*) ;; *) cp $shelf/cuda/*.whl \"$dest\";; esac",
    );
    fs::create_dir(machine.path("shelf/cuda")).unwrap();
    wheel(&machine.path("shelf/cuda/c10.whl"), &[("torch/lib/libc10_cuda.so", "")]);
    machine.setup("clone").setup(Flavour::Cuda).unwrap();
    let libtorch = machine.setup("clone").ensure().unwrap();
    assert_eq!(libtorch.version, "2.11.0+cu130");
    assert!(libtorch.folder.join("lib/libtorch_cuda.so").exists());
    assert_eq!(machine.downloads(), 1);
    assert_eq!(machine.setup("clone").setup(Flavour::Cpu).unwrap().version, "2.11.0+cpu");
    assert!(!libtorch.folder.join("lib/libtorch_cuda.so").exists());
}

#[test]
fn a_small_disk_is_told_before_the_download() {
    let machine = Machine::new("cp $shelf/*.whl \"$dest\"");
    let full = Setup { free_bytes: |_| Ok(1 << 20), ..machine.setup("clone") };
    let error = full.ensure().unwrap_err().to_string();
    assert!(error.contains("GB free") && error.contains("XDG_CACHE_HOME"), "{error}");
    assert_eq!(machine.downloads(), 0);
}

#[test]
fn a_damaged_wheel_is_fetched_once_more() {
    let truncated = "cp $shelf/*.whl \"$dest\"
         [ $calls = 0 ] && head -c 100 $shelf/torch.whl > \"$dest/torch.whl\"; true";
    let flipped = "cp $shelf/*.whl \"$dest\"
         [ $calls = 0 ] && sed 's/the CPU part/the CPV part/' $shelf/torch.whl > \"$dest/torch.whl\"; true";
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
fn a_wheel_that_stays_damaged_is_an_error_and_leaves_nothing() {
    let machine = Machine::new("head -c 100 $shelf/torch.whl > \"$dest/torch.whl\"");
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("torch.whl arrived damaged"), "{error}");
    assert_eq!(machine.downloads(), 2);
    assert!(machine.cached().is_empty());
    assert!(fs::symlink_metadata(machine.path("clone/.libtorch")).is_err());
}

#[test]
fn a_part_of_a_folder_is_never_taken_for_the_whole() {
    let machine = Machine::new("cp $shelf/*.whl \"$dest\"");
    // What a setup that was killed leaves, and a folder whose library was cut short.
    fs::create_dir_all(machine.path("cache/selfdistill/setup-killed/wheels")).unwrap();
    fs::create_dir_all(machine.path("cache/selfdistill").join(CPU).join("lib")).unwrap();
    let libtorch = machine.setup("clone").ensure().unwrap();
    assert_eq!(machine.cached(), [CPU]);
    fs::write(libtorch.folder.join("lib/libtorch_cpu.so"), "the").unwrap();
    machine.setup("clone").ensure().unwrap();
    let library = fs::read_to_string(libtorch.folder.join("lib/libtorch_cpu.so")).unwrap();
    assert_eq!(library, "the CPU part");
    assert_eq!(machine.downloads(), 2);
}

#[test]
fn setups_at_once_fetch_once() {
    let machine = Machine::new("sleep 0.2; cp $shelf/*.whl \"$dest\"");
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
fn no_python_and_no_pip_name_the_package() {
    let machine = Machine::new("");
    fs::remove_file(machine.path("python")).unwrap();
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("found no `") && error.contains("python3-pip"), "{error}");
    fs::write(machine.path("python"), "#!/bin/sh\necho No module named pip >&2; exit 1\n").unwrap();
    fs::set_permissions(machine.path("python"), fs::Permissions::from_mode(0o755)).unwrap();
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("No module named pip") && error.contains("python3-pip"), "{error}");
    assert!(error.contains("LIBTORCH"), "{error}");
}

#[test]
fn without_a_network_pips_last_lines_and_a_way_out_are_shown() {
    let machine = Machine::new("echo 'ERROR: No matching distribution found' >&2; exit 1");
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("ERROR: No matching distribution found"), "{error}");
    assert!(error.contains("PIP_INDEX_URL") && error.contains("LIBTORCH"), "{error}");
    assert_eq!(machine.downloads(), 1);
}

#[test]
fn wheels_of_something_else_are_refused() {
    let machine = Machine::new("cp $shelf/cupti.whl \"$dest\"");
    let error = machine.setup("clone").ensure().unwrap_err().to_string();
    assert!(error.contains("hold no lib/libtorch_cpu.so"), "{error}");
}

#[test]
fn an_unsupported_platform_asks_pip_nothing() {
    let machine = Machine::new("cp $shelf/*.whl \"$dest\"");
    let setup = Setup { platform: Platform::of("linux", "s390x"), ..machine.setup("clone") };
    let error = setup.ensure().unwrap_err().to_string();
    assert!(error.contains("found linux on s390x"), "{error}");
    assert_eq!(machine.downloads(), 0);
}

#[test]
fn a_libtorch_of_the_users_own_wins() {
    let machine = Machine::new("cp $shelf/*.whl \"$dest\"");
    machine.setup("clone").ensure().unwrap();
    let own = machine.path("cache/selfdistill").join(CPU);
    let setup = Setup { of_user: Some(own.clone()), ..machine.setup("other-clone") };
    for libtorch in [setup.ensure().unwrap(), setup.setup(Flavour::Cpu).unwrap()] {
        assert_eq!((libtorch.folder, libtorch.of_user), (own.clone(), true));
    }
    assert!(fs::symlink_metadata(machine.path("other-clone/.libtorch")).is_err());
}
