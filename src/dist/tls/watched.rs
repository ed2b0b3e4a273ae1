//! Files that are replaced while a node runs: certificates have an end.
//!
//! OTP reads changed files again within two minutes. Rendez checks the files when a connection is made, but at most once in
//! [`TlsOptions::reread_every`].

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use super::{Made, TlsError, TlsOptions};

/// What is made of files, and made again when they change.
pub(super) struct Watched {
    options: TlsOptions,
    state: Mutex<State>,
}

struct State {
    made: Made,
    /// Of the files that it was made of.
    stamps: Vec<Stamp>,
    looked: Instant,
    /// Why files that changed could not be used, as it was said last.
    said: Option<String>,
}

/// Identifies a version of a file; `None` if the file cannot be read.
type Stamp = Option<(u64, u64, Option<SystemTime>)>;

fn stamp(file: &Path) -> Stamp {
    let found = std::fs::metadata(file).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&found);
    #[cfg(not(unix))]
    let number = 0;
    Some((number, found.len(), found.modified().ok()))
}

impl Watched {
    pub(super) fn new(options: TlsOptions) -> Result<Self, TlsError> {
        // Taken before reading, so that a file that changes meanwhile is read again.
        let stamps = options.all_files().into_iter().map(stamp).collect();
        let made = options.make()?;
        let state = Mutex::new(State {
            made,
            stamps,
            looked: Instant::now(),
            said: None,
        });
        Ok(Self { options, state })
    }

    pub(super) fn options(&self) -> &TlsOptions {
        &self.options
    }

    /// What it is made of now.
    pub(super) fn now(&self) -> Made {
        self.state().made.clone()
    }

    /// The same, after a look at the files if the last one is some time ago.
    pub(super) async fn fresh(self: &Arc<Self>) -> Made {
        if self.is_due() {
            let own = Arc::clone(self);
            // An error means that the runtime ends.
            let _ = tokio::task::spawn_blocking(move || own.look()).await;
        }
        self.now()
    }

    fn is_due(&self) -> bool {
        let mut state = self.state();
        let due = state.looked.elapsed() >= self.options.reread_every;
        if due {
            // Others that connect meanwhile do not look too.
            state.looked = Instant::now();
        }
        due
    }

    fn look(&self) {
        let stamps: Vec<_> = self.options.all_files().into_iter().map(stamp).collect();
        if self.state().stamps == stamps {
            return;
        }
        let made = self.options.make();
        let mut state = self.state();
        match made {
            Ok(made) => {
                (state.made, state.stamps, state.said) = (made, stamps, None);
                tracing::info!(
                    event = "tls_reloaded",
                    "the files for TLS have changed, and were read again"
                );
            }
            // A certificate and its key are two files: the other one may come in a moment.
            Err(error) => {
                let text = error.to_string();
                if state.said.as_ref() != Some(&text) {
                    tracing::warn!(
                        event = "tls_not_reloaded",
                        "the files for TLS have changed and cannot be used: {text}; what was read before counts until \
                         they can"
                    );
                    state.said = Some(text);
                }
            }
        }
    }

    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let stamps = self.options.all_files().into_iter().map(stamp).collect();
        let made = self.options.make()?;
        let mut state = self.state();
        (state.made, state.stamps, state.said) = (made, stamps, None);
        Ok(())
    }

    /// Only whole values are put in under the lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
