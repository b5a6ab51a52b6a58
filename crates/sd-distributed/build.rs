//! Compiles the functions that call c10d, and sets the run path to libtorch, so that tests run without
//! `LD_LIBRARY_PATH`.

use std::path::Path;

/// Written by `cargo xtask setup` when it links another libtorch.
const LINK_CHANGED: &str = "../../.libtorch.changed";

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/c10d.cpp");
    println!("cargo:rerun-if-changed=gloo");
    // Cargo runs the script each time if a file that it names is missing.
    if Path::new(LINK_CHANGED).exists() {
        println!("cargo:rerun-if-changed={LINK_CHANGED}");
    }
    println!("cargo:rustc-check-cfg=cfg(nccl)");
    let Ok(libtorch) = std::env::var("LIBTORCH") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    let mut build = cc::Build::new();
    // `cargo xtask setup --cuda` installs both.
    let has = |file: &str| Path::new(&libtorch).join(file).exists();
    if has("lib/libtorch_cuda.so") && has("include/cuda/nccl.h") {
        println!("cargo:rustc-cfg=nccl");
        println!("cargo:rustc-link-lib=torch_cuda");
        println!("cargo:rustc-link-lib=c10_cuda");
        build.define("USE_C10D_NCCL", None).include(format!("{libtorch}/include/cuda"));
    }
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .includes(
            ["include", "include/torch/csrc/api/include"].map(|at| format!("{libtorch}/{at}")),
        )
        .include("gloo")
        .file("src/c10d.cpp")
        .compile("sd_c10d");
}
