//! The NIF of the rendez package: a thin skin over discovery and the engine.
//!
//! `erlang/src/rendez_nif.erl` documents the functions.

/// The version of the library, as text.
#[rustler::nif]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

rustler::init!("rendez_nif");
