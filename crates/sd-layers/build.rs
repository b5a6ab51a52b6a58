//! Compiles the bridge to libtorch, and sets the run path to libtorch, so that tests run without
//! `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/kernel/bridge.cpp");
    let Ok(libtorch) = std::env::var("LIBTORCH") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    let mut bridge = cc::Build::new();
    bridge.cpp(true).std("c++17").warnings(false).file("src/kernel/bridge.cpp");
    for folder in ["include", "include/torch/csrc/api/include"] {
        bridge.include(format!("{libtorch}/{folder}"));
    }
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // libtorch's threads are OpenMP's.
        bridge.flag("-fopenmp");
        println!("cargo:rustc-link-lib=gomp");
    }
    bridge.compile("sd_bridge");
}
