//! The NIF of the rendez package: a thin skin over discovery and the engine.
