//! Compiles the functions that call c10d, and sets the run path to libtorch, so that tests run without
//! `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/c10d.cpp");
    println!("cargo:rerun-if-changed=gloo");
    let Ok(libtorch) = std::env::var("LIBTORCH") else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    cc::Build::new()
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
