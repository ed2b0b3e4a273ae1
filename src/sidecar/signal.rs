//! The signals that a command that stays obeys.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Ready when SIGTERM, SIGINT or SIGHUP comes. The signals are caught from the call on, not from the first poll.
///
/// SIGHUP, which a terminal that is closed sends, stays ignored where it is, as under `nohup`.
///
/// # Errors
/// That of the operating system if a signal cannot be caught. Must be called within a tokio runtime.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = match is_ignored(SignalKind::hangup()) {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    Ok(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hung_up => "SIGHUP",
        };
        tracing::info!(
            event = "stopping",
            phrase = "stopping",
            signal = name,
            "{name}: stopping"
        );
    })
}

/// Wishes to have the status written into the log: one for each SIGUSR1. See [`super::Sidecar::status_on`].
///
/// # Errors
/// As for [`stop_signal`].
pub fn status_signal() -> io::Result<mpsc::Receiver<()>> {
    let mut signal = signal(SignalKind::user_defined1())?;
    // Wishes that come before the last one was seen to are one.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while signal.recv().await.is_some() {
            // The receiver may be gone. The signal must not end the process even then.
            let _ = sender.try_send(());
        }
    });
    Ok(receiver)
}

/// Whether the process was started with that signal ignored. Known on Linux only.
fn is_ignored(signal: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal.as_raw_value() - 1).ok();
    mask.zip(bit)
        .is_some_and(|(mask, bit)| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}
