//! Writes the folder of libtorch into the benches, so that they run without `LD_LIBRARY_PATH`.
//! Nothing else of this crate is linked with libtorch, and without `LIBTORCH` there is nothing to
//! write.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg-benches=-Wl,-rpath,{libtorch}/lib");
    }
}
