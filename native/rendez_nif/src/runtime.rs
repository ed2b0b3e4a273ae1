//! The threads that every cluster of the BEAM shares.

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, Runtime};

/// Two, so that a provider at work does not hold up the announcements of another.
const WORKERS: usize = 2;
/// For the system's name look-ups and the like.
const MOST_BLOCKING: usize = 4;
/// What a thread may use of the stack; what it does not use costs nothing.
const STACK_BYTES: usize = 1024 * 1024;

/// The runtime, made at the first call. It lives as long as the BEAM: a module that is purged and loaded
/// again finds it here.
///
/// # Errors
/// A sentence for people, if the system gives no threads.
pub fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MOST_BLOCKING)
        .thread_stack_size(STACK_BYTES)
        .thread_name("rendez")
        .enable_all()
        .build()
        .map_err(|error| format!("the threads for discovery cannot be started: {error}"))?;
    Ok(RUNTIME.get_or_init(|| runtime))
}
