//! When the command is told to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Ready when SIGTERM or SIGINT comes. The signals are caught from the call on, not from the first poll.
///
/// # Errors
/// That of the operating system if a signal cannot be caught. Must be called within a tokio runtime.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: stopping");
    })
}
