//! Tells the linker to keep the library mapped for as long as the BEAM lives.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // The BEAM unmaps a NIF library once its module is purged and its last resource is gone. Threads of
    // ours run in it, and a thread whose code is unmapped takes the BEAM down. On macOS a library with
    // thread-local variables, which this one has, is never unmapped.
    if [
        "linux",
        "android",
        "freebsd",
        "netbsd",
        "openbsd",
        "dragonfly",
        "solaris",
        "illumos",
    ]
    .contains(&os.as_str())
    {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
