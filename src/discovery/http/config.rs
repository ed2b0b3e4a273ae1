//! What can be said about a URL.

use std::path::PathBuf;
use std::time::Duration;

use crate::discovery::polling::KEEP_FOR;
use crate::secret::{Secret, SecretUrl};

/// Which URL, how to ask for it, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The URL, `http` or `https`.
    pub url: SecretUrl,
    /// A token, sent as `Authorization: Bearer` (RFC 6750).
    pub token: Option<Secret>,
    /// A header field of the request, `Name: value`.
    pub header: Option<Secret>,
    /// A PEM file of the certificate authorities to trust; `None` for the system's.
    pub cacert: Option<PathBuf>,
    /// How long an answer may take, redirects and all.
    pub timeout: Duration,
    /// The longest time between two questions.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
}

impl HttpConfig {
    /// Asks at `url` every 5 s, for at most 5 s.
    pub fn new(url: impl Into<SecretUrl>) -> Self {
        Self {
            url: url.into(),
            token: None,
            header: None,
            cacert: None,
            timeout: Duration::from_secs(5),
            interval: Duration::from_secs(5),
            keep_for: KEEP_FOR,
        }
    }
}
